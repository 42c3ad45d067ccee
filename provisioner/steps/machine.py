"""Steps on one machine: make it, boot it, put our code, files and services on it."""

from __future__ import annotations

from collections.abc import Mapping

from provisioner.content import SYSTEMD, machine_files, machine_units
from provisioner.context import Context
from provisioner.digests import CONTROL_PLANE, code_digest, files_digest, packages_of, text_digest
from provisioner.drivers import CodeArchive, State
from provisioner.errors import LabError
from provisioner.images import ImageError, compile_bundle, ensure_cni_client
from provisioner.shell import CommandFailed, File
from provisioner.spec import ControlPlane, Lab, Machine

#: Seconds from power-on to a shell. Emulated, three at once on two busy cores: 40; with KVM: 5.
BOOT_DEADLINE = 300.0
#: Seconds for unpacking the code or restarting services on an emulated machine under load.
COMMAND_DEADLINE = 240.0
_SRC = "/opt/kubelab/src"
_OTHER_CODE = 99  # exit status


class _OfMachine:
    def __init__(self, machine: Machine) -> None:
        self.machine = machine


class Create(_OfMachine):
    """Disk, seed and definition, turned off. A machine made anew has none of what the journal knows of it."""

    title = "create"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        if context.driver.state(self.machine) is State.ABSENT:
            context.journal.forget(self.machine.name)
        context.driver.ensure_machine(self.machine, _code(context, self.machine))


class Boot(_OfMachine):
    """Turn it on and wait for a shell. A guest that crashes while booting is started once more, and that is said."""

    title = "boot"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        context.driver.start(self.machine)
        try:
            context.shell(self.machine, BOOT_DEADLINE)
        except LabError as first:
            if context.stop.is_set():
                raise
            context.notes.note(self.machine.name, f"did not boot ({first}); it was started once more")
            context.driver.power_off(self.machine)
            context.driver.start(self.machine)
            context.shell(self.machine, BOOT_DEADLINE)


class Connect(_OfMachine):
    """A shell on a machine that should be running."""

    title = "connect"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return None

    def run(self, context: Context, changed: frozenset[str]) -> None:
        state = context.driver.state(self.machine)
        if state is not State.RUNNING:
            raise LabError(f"{self.machine.name} is {state}", advice="kubelab up starts it.")
        context.shell(self.machine)


class Code(_OfMachine):
    """Our packages with the machine's bytecode, in /opt/kubelab/src."""

    title = "code"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return {"bundle": code_digest(context.source, packages_of(self.machine))}

    def run(self, context: Context, changed: frozenset[str]) -> None:
        code, shell = _code(context, self.machine), context.shell(self.machine)
        # In place: running containers have the folder mounted. What was removed from the code must not be found there.
        # Times are kept (no tar -m): bytecode is valid for its source's time.
        # A worker has no static pods of ours, but people put some there, and the kubelet looks.
        folders = f"{_SRC} /etc/kubernetes/manifests"
        unpack = f"mkdir -p {folders} && find {_SRC} -mindepth 1 -delete && tar -x --no-same-owner -C {_SRC}"
        if disk := context.driver.local(self.machine).code_disk:
            # The disk is what the machine was made with; code that has changed since comes through the shell.
            current = f'[ "$(cat /sys/block/{disk}/serial 2>/dev/null)" = {code.digest} ]'
            command = f"{current} || exit {_OTHER_CODE}; {unpack} -f /dev/{disk}"
            result = shell.run(command, timeout=COMMAND_DEADLINE, check=False)
            if result.code == 0:
                return
            if result.code != _OTHER_CODE:
                raise CommandFailed(self.machine.name, result)
        shell.run(f"{unpack} -z -f -", code.archive.read_bytes(), timeout=COMMAND_DEADLINE)


class Files(_OfMachine):
    """Certificates, kubeconfigs, units, manifests, configuration: all in one archive."""

    title = "files"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        return {"files": files_digest(self._files(context))}

    def run(self, context: Context, changed: frozenset[str]) -> None:
        context.shell(self.machine).put_all(self._files(context), timeout=COMMAND_DEADLINE)

    def _files(self, context: Context) -> dict[str, File]:
        return _files(context, self.machine)


class Services(_OfMachine):
    """Start the units, and restart those whose code or files changed."""

    title = "services"

    def parts(self, context: Context) -> Mapping[str, str] | None:
        files = _files(context, self.machine)
        digests = {}
        for unit in machine_units(context.lab, self.machine, files):
            of_files = files_digest({path: files[path] for path in unit.files})
            digests[unit.name] = text_digest(of_files, code_digest(context.source, unit.code))
        return digests

    def run(self, context: Context, changed: frozenset[str]) -> None:
        files = _files(context, self.machine)
        names = [unit.name for unit in machine_units(context.lab, self.machine, files)]
        wants = f"{SYSTEMD}/multi-user.target.wants"
        # What `systemctl enable` does, without the seconds that it costs on an emulated machine.
        links = []
        for name in names:
            folder = SYSTEMD if f"{SYSTEMD}/{name}" in files else "/usr/lib/systemd/system"
            links.append(f"ln -sf {folder}/{name} {wants}/{name}")
        restart = " ".join(name for name in names if name in changed)
        context.shell(self.machine).run(
            f"{folders(context.lab, self.machine)}mkdir -p {wants} && {' && '.join(links)} && "
            f"systemctl daemon-reload && systemctl restart {restart}",
            timeout=COMMAND_DEADLINE,
        )


def folders(lab: Lab, machine: Machine) -> str:
    """The command, with what joins it to the next, that makes the folders whose mode matters, as kubeadm does: etcd's
    data are root's alone, and the kubelet would let everybody look into what it makes."""
    if machine.is_master and lab.control_plane is ControlPlane.STATIC_PODS:
        return "install -d -m 0700 /var/lib/etcd && "
    return ""


def _code(context: Context, machine: Machine) -> CodeArchive:
    packages = packages_of(machine)
    try:
        archive = compile_bundle(context.home.home, context.source, packages=packages)
    except ImageError as error:
        raise LabError(str(error)) from error
    return CodeArchive(code_digest(context.source, packages), archive)


def _files(context: Context, machine: Machine) -> dict[str, File]:
    code = code_digest(context.source, CONTROL_PLANE)
    client = ensure_cni_client(context.home.home, context.source)
    return machine_files(context.lab, machine, context.home.secrets, code, context.driver.local(machine), client)
