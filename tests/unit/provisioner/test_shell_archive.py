import io
import tarfile

from provisioner.shell import File, render_tar


def test_an_archive_of_files_has_no_entry_for_a_directory() -> None:
    """An entry would close a directory for a moment, which on machines that share it with the host is the host's."""
    data = render_tar({"/var/lib/kubelet/config.yaml": File(b"x"), "/etc/hosts": File(b"y", 0o600)})
    with tarfile.open(fileobj=io.BytesIO(data)) as archive:
        assert [(entry.name, entry.isfile(), entry.mode) for entry in archive] == [
            ("etc/hosts", True, 0o600),
            ("var/lib/kubelet/config.yaml", True, 0o644),
        ]
