/* What a container runtime starts for every pod: asks the agent on this machine, which has an interpreter running
 * already, and becomes the interpreter only when no agent takes the call. It is the interpreter of the plugins' scripts: `#!/opt/cni/bin/kubelab-cni /usr/bin/python3`, so that the kernel
 * starts it as `kubelab-cni /usr/bin/python3 /opt/cni/bin/kubelab-bridge`; the other way is to run that script.
 *
 * The agent speaks first (nodeagent/cni/agent.py): a call is either not begun, and then safe to carry out here, or the
 * agent has the whole of it. Only in between lies doubt, and the script is told of it: KUBELAB_CNI_AGENT=gone (it
 * began and died) or =silent (it began and may still be at it).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

enum { NAMES_MAX = 1 << 16, TEXT_MAX = 1 << 20, GREETING_SECONDS = 3, ANSWER_SECONDS = 60 };
static const char GREETING[] = "kubelab-cni 1\n";

static char names[NAMES_MAX];   /* the plugin's name and the CNI variables, each ended by a NUL */
static char text[TEXT_MAX + 1]; /* stdin; one byte more than allowed tells that it is too long */
static char answer[TEXT_MAX];

static size_t read_stdin(void) {
    size_t size = 0;
    ssize_t got;
    while (size < sizeof text && (got = read(0, text + size, sizeof text - size)) != 0) {
        if (got > 0)
            size += (size_t)got;
        else if (errno != EINTR)
            break;
    }
    return size;
}

/* Append to `names`; returns the new size, or more than NAMES_MAX when it does not fit. */
static size_t add_name(size_t size, const char *name) {
    size_t length = strlen(name) + 1;
    if (size + length <= NAMES_MAX)
        memcpy(names + size, name, length);
    return size + length;
}

static size_t collect_names(const char *plugin) {
    size_t size = add_name(0, plugin);
    for (char **entry = environ; *entry; entry++)
        if (strncmp(*entry, "CNI_", 4) == 0)
            size = add_name(size, *entry);
    return size;
}

/* A descriptor of an agent that is ready for a call, or -1: none there, another version, all busy. */
static int greet(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval wait = {.tv_sec = GREETING_SECONDS}, longer = {.tv_sec = ANSWER_SECONDS};
    char said[sizeof GREETING - 1];
    if (strlen(path) >= sizeof address.sun_path)
        return -1;
    strcpy(address.sun_path, path);
    int agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(agent, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof wait); /* bounds connect, too */
    setsockopt(agent, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    if (connect(agent, (struct sockaddr *)&address, sizeof address) < 0 ||
        recv(agent, said, sizeof said, MSG_WAITALL) != sizeof said || memcmp(said, GREETING, sizeof said) != 0) {
        close(agent);
        return -1;
    }
    setsockopt(agent, SOL_SOCKET, SO_RCVTIMEO, &longer, sizeof longer);
    return agent;
}

static int send_all(int to, const void *data, size_t size) {
    for (const char *rest = data; size > 0;) {
        ssize_t sent = send(to, rest, size, MSG_NOSIGNAL);
        if (sent <= 0)
            return 0;
        rest += sent;
        size -= (size_t)sent;
    }
    return 1;
}

static void run_script(char *python, char *script, size_t size, const char *doubt) {
    /* The script reads stdin again, from a file in memory. */
    int copy = memfd_create("stdin", 0);
    if (write(copy, text, size) == (ssize_t)size && lseek(copy, 0, SEEK_SET) == 0 && dup2(copy, 0) == 0) {
        setenv("KUBELAB_CNI_AGENT", doubt, 1);
        execv(python, (char *[]){python, "-IS", script, NULL});
    }
    fprintf(stderr, "kubelab-cni: %s: %s\n", python, strerror(errno));
    exit(127);
}

int main(int argc, char **argv) {
    if (argc < 3) {
        fprintf(stderr, "usage: #!%s PYTHON\n", argv[0]);
        return 2;
    }
    char *python = argv[1], *script = argv[2], *slash = strrchr(script, '/'), *path = getenv("KUBELAB_CNI_SOCKET");
    if (!getenv("CNI_COMMAND")) /* somebody at a terminal wants to know what this is: stdin stays theirs */
        return execv(python, (char *[]){python, "-IS", script, NULL});
    uint32_t sizes[2] = {(uint32_t)collect_names(slash ? slash + 1 : script), (uint32_t)read_stdin()}, head[2];
    int small = sizes[0] <= NAMES_MAX && sizes[1] <= TEXT_MAX;
    int agent = small ? greet(path ? path : "/run/kubelab/cni.sock") : -1;
    if (agent < 0 || !send_all(agent, sizes, sizeof sizes) || !send_all(agent, names, sizes[0]) ||
        !send_all(agent, text, sizes[1]))
        run_script(python, script, sizes[1], "none");
    errno = 0;
    if (recv(agent, head, sizeof head, MSG_WAITALL) != sizeof head || head[1] > sizeof answer ||
        (head[1] && recv(agent, answer, head[1], MSG_WAITALL) != (ssize_t)head[1]))
        run_script(python, script, sizes[1], errno == EAGAIN ? "silent" : "gone");
    for (size_t done = 0, wrote; done < head[1]; done += wrote)
        if ((ssize_t)(wrote = (size_t)write(1, answer + done, head[1] - done)) <= 0)
            return 1;
    return (int)head[0];
}
