"""What Windows lacks is used behind a guard, and names that are written are legal there."""

import ast
from pathlib import Path

import pytest

from audio_gen.files import legal_name
from audio_gen.generation.outputs import distinct_names

PACKAGE = Path(__file__).parents[1] / "audio_gen"
MODULES = sorted(PACKAGE.rglob("*.py"))
ABSENT_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "tty", "pty", "curses", "readline", "syslog", "posix"}
ABSENT = {
    "os": {"fork", "forkpty", "getuid", "geteuid", "getgid", "posix_fallocate", "posix_fadvise", "mkfifo",
           "mknod", "O_NOFOLLOW", "O_CLOEXEC", "O_NONBLOCK", "O_DIRECTORY", "O_SYNC", "sync", "statvfs", "sysconf",
           "getloadavg", "nice", "killpg", "getpgid", "setsid", "setpgid", "sched_getaffinity", "chown", "lchown",
           "uname", "ttyname", "pread", "pwrite", "sendfile", "openpty", "getpriority", "wait", "WNOHANG", "fchmod"},
    "signal": {"SIGHUP", "SIGUSR1", "SIGUSR2", "SIGKILL", "SIGALRM", "SIGPIPE", "SIGXFSZ", "SIGCHLD", "SIGQUIT",
               "alarm", "pause", "setitimer", "sigwait", "pthread_kill", "pthread_sigmask"},
    "time": {"tzset", "clock_gettime"},
    "socket": {"AF_UNIX"},
}  # fmt: skip
FOLDERS = ("/tmp", "/dev/", "/proc/", "/var/", "/etc/")


def unguarded(tree: ast.Module) -> list[str]:
    """POSIX-only names that are used outside of try, and of what asks hasattr, os.name, sys.platform or for None."""
    found = []

    def asks(test: ast.expr) -> bool:
        text = ast.unparse(test)
        return any(word in text for word in ("hasattr(", "os.name", "sys.platform", "is not None", "is None"))

    def visit(node: ast.AST, guarded: bool) -> None:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            absent = node.attr in ABSENT.get(node.value.id, ()) and not guarded
            found.extend([f"{node.value.id}.{node.attr} at line {node.lineno}"] if absent else [])
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        found.extend(f"import {name}" for name in names if name in ABSENT_MODULES and not guarded)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(FOLDERS):
            found.append(f"{node.value!r} at line {node.lineno}")
        if isinstance(node, ast.If | ast.IfExp) and asks(node.test):
            guarded = True
        if isinstance(node, ast.Try) and any("ImportError" in ast.unparse(h.type or node) for h in node.handlers):
            guarded = True
        for child in ast.iter_child_nodes(node):
            visit(child, guarded)

    visit(tree, False)
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_nothing_that_windows_lacks_is_used_unguarded(path: Path) -> None:
    assert unguarded(ast.parse(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("code", "count"),
    [("import fcntl", 1), ("from resource import x", 1), ("os.getuid()", 1), ("signal.SIGHUP", 1), ("p = '/tmp/x'", 1),
     ("try:\n    import fcntl\nexcept ImportError:\n    fcntl = None", 0),
     ("if hasattr(os, 'posix_fallocate'):\n    os.posix_fallocate(1, 0, 1)", 0),
     ("x = os.sched_getaffinity(0) if hasattr(os, 'sched_getaffinity') else 1", 0)],
)  # fmt: skip
def test_the_last_one_can_fail(code: str, count: int) -> None:
    assert len(unguarded(ast.parse(code))) == count


@pytest.mark.parametrize(
    ("name", "legal"),
    [("kick", "kick"), ("Hi-Hat (open) #2", "Hi-Hat (open) #2"), ("CON", "CON_"), ("aux", "aux_"),
     ("com1.x", "com1_.x"), ("nul", "nul_"), ("conga", "conga"), ("a/b\\c:d", "a_b_c_d"), ('<>"|?*', "______"),
     ("a\nb\t", "a_b_"),     ("end. ", "end"), ("..", "_"), ("", "_"), ("é", "é"), ("a\x7fb\udcffc", "a_b_c")],
)  # fmt: skip
def test_names_are_legal_everywhere(name: str, legal: str) -> None:
    assert legal_name(name) == legal
    assert legal_name(legal) == legal


def test_names_are_short_and_differ_by_more_than_case() -> None:
    found = distinct_names(["Kick", "kick", "KICK", "é" * 200, "é" * 201, "CON", "con", "a ", "a"])
    assert len({name.casefold() for name in found}) == len(found)
    assert all(len(name.encode()) < 200 and legal_name(name) == name for name in found)
