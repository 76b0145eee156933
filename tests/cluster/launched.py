"""A machine as Ray's cluster launcher meets it, without Docker, AWS or SSH.

What the launcher would run there by SSH goes through real shells, in a session of its own. They find `docker`, `aws`,
`ray` and the like in a folder of scripts, which note their calls and keep what matters between them in files: whether
the registry knows the machine, and whether image and container are there. What runs in the container finds nothing but
what the Dockerfile puts into the image.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from ray.autoscaler.node_provider import NodeProvider

ADDRESS = "192.0.2.20"

HOST = {
    "docker": r"""
case "$1 $2" in
    "login --username") cat > /dev/null; touch "$MACHINE/login" ;;
    "pull "*)
        test -e "$MACHINE/login" || { echo "Your authorization token has expired." >&2; exit 1; }
        touch "$MACHINE/image" ;;
    "image inspect") test -e "$MACHINE/image" ;;
    "inspect -f")
        case "$3" in
            *.Config.Env*) echo '["HOME=/home/ray"]'; exit ;;
        esac
        test -e "$MACHINE/container-$4" || { echo "Error: No such object: $4" >&2; exit 1; }
        case "$3" in
            *.State.Running*) echo true ;;
            *.Config.Image*) echo "an image" ;;
            *.Mounts*) echo '[{"Destination": "'"$MACHINE"'/home/.ray/auth_token"}]' ;;
        esac ;;
    "info -f") echo '{"runc": {}}' ;;
    "start "*) test -e "$MACHINE/container-$2" ;;
    "run "*)
        [[ "$*" == *.amazonaws.com/* ]] && test ! -e "$MACHINE/image" && { docker pull ... || exit 1; }
        [[ "$*" =~ --name\ ([a-z-]+) ]] && touch "$MACHINE/container-${BASH_REMATCH[1]}" ;;
    "exec "*)
        shift
        while [[ "$1" == -* ]]; do shift; done
        test -e "$MACHINE/container-$1" || exit 1
        shift
        export HOME="$MACHINE/home" PATH="$MACHINE/home/bin"
        exec "$SETSID" --wait /bin/bash -c 'printf ",%s" $$ >> "$MACHINE/sessions"; exec "$@"' - "$@" ;;
    *) echo "docker $*: not known here" >&2; exit 1 ;;
esac
""",
    "aws": "echo a-password",
    "rsync": 'docker exec -i trainyard bash -c "command -v rsync" > /dev/null  # copies into the container',
    "mkdir": "",
    "chown": "",
}
"""Programs of the machine, by their scripts."""

CONTAINER = {
    "ray": "",
    "python": 'printf "%s\n" $$ >> "$MACHINE/pids"; exec -a "python $*" sleep 60',
    "mkdir": "",
    "chown": "",
}
"""Programs that every image has, by their scripts."""

PLAIN = ("bash", "cat", "id", "nohup", "printenv", "sleep", "whoami")
"""Those that Debian has, as they are."""

PACKAGES = {
    "curl": {"curl": ""},
    "git": {"git": ""},
    "openssh-client": {"ssh": ""},
    # Of all processes on this machine those in the container: the sessions that have been started in it.
    "procps": {"pkill": 'exec "$PKILL" --session "$(< "$MACHINE/sessions")" "$@"'},
    "rsync": {"rsync": ""},
    "sudo": {"sudo": '"$@"'},
    "wget": {"wget": ""},
}
"""Programs by the package of Debian that brings them."""


def packages_of(dockerfile: Path) -> set[str]:
    """What the image has beyond Python's."""
    found = re.search(r"apt-get install (.+?) \\\n", dockerfile.read_text())
    assert found is not None
    return {word for word in found[1].split() if not word.startswith("-")}


class Machine:
    """What the launcher takes for `subprocess`: commands by ssh run here, and copies by rsync are left out."""

    DEVNULL = subprocess.DEVNULL

    def __init__(self, folder: Path, packages: set[str]) -> None:
        """folder: empty, for the scripts and what they keep. packages: those of the image."""
        self.folder = folder
        self.programs: set[str] = set()
        """What the launcher itself has called, where it runs: on the head, in the container, for all workers."""
        inside = dict(CONTAINER)
        for package in packages:
            inside |= PACKAGES[package]
        for where, scripts in ((folder, HOST), (folder / "home", inside)):
            (where / "bin").mkdir(parents=True)
            (where / ".bashrc").write_text(f'PATH="{where / "bin"}{":$PATH" if where == folder else ""}"\n')
            for name, script in scripts.items():
                program = where / "bin" / name
                program.write_text(f'#!/bin/bash\necho "{name} $*" >> "$MACHINE/calls"\n{script}\n')
                program.chmod(0o755)
        for name in PLAIN:
            (folder / "home" / "bin" / name).symlink_to(shutil.which(name) or "/bin/false")
        (folder / "sessions").write_text("0")  # its own

    def check_call(self, command: list[str], **_: Any) -> None:
        self._run(command)

    def check_output(self, command: list[str]) -> bytes:
        return self._run(command)

    def _run(self, command: list[str]) -> bytes:
        self.programs.add(command[0])
        if command[0] == "rsync":
            return b""
        (host,) = [index for index, word in enumerate(command) if word.endswith(f"@{ADDRESS}")]
        environment = {
            **os.environ,
            "HOME": str(self.folder),
            "MACHINE": str(self.folder),
            "SETSID": shutil.which("setsid") or "",
            "PKILL": shutil.which("pkill") or "",
        }
        done = subprocess.run(
            ["/bin/bash", "-c", " ".join(command[host + 1 :])],  # as sshd does
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            start_new_session=True,  # interactive shells would take the terminal
            timeout=30,
        )
        if done.returncode:
            raise subprocess.CalledProcessError(done.returncode, command, done.stdout, done.stderr)
        return done.stdout

    @property
    def calls(self) -> list[str]:
        """What was called on it, the first first."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def forget_calls(self) -> None:
        (self.folder / "calls").unlink(missing_ok=True)

    def watchers(self, *, started: int = 0) -> list[int]:
        """The processes that listen for a notice of the cloud, of so many that have been started in the background."""
        path = self.folder / "pids"
        end = time.monotonic() + 10
        while len(pids := path.read_text().split() if path.exists() else []) < started:
            assert time.monotonic() < end, f"{len(pids)} have been started, not {started}"
            time.sleep(0.01)
        return [pid for pid in map(int, pids) if _state(pid) not in ("", "Z")]

    def stop(self) -> None:
        """As `ray down` does, and the night: the container is gone, the disk stays, the login to the registry ends."""
        (self.folder / "container-trainyard").unlink(missing_ok=True)
        (self.folder / "login").unlink(missing_ok=True)
        for pid in self.watchers():
            os.kill(pid, signal.SIGKILL)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][:1]
    except OSError:
        return ""


class Provider(NodeProvider):  # type: ignore[misc]
    """One machine, whose tags live as long as this object."""

    def __init__(self) -> None:
        super().__init__({}, "trainyard")
        self.tags: dict[str, str] = {}

    def node_tags(self, node_id: str) -> dict[str, str]:
        return dict(self.tags)

    def set_node_tags(self, node_id: str, tags: dict[str, str]) -> None:
        self.tags |= tags

    def is_terminated(self, node_id: str) -> bool:
        return False

    def internal_ip(self, node_id: str) -> str:
        return ADDRESS

    def external_ip(self, node_id: str) -> str:
        return ADDRESS
