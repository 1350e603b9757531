"""One fixture pair makes a test run for every architecture."""

from __future__ import annotations

import contextlib
import signal

import pytest

from blcr import registry
from blcr.architecture import Arch
from harness import Case, load


def pytest_configure() -> None:
    """Make tests the same on a busy machine and in the background."""
    with contextlib.suppress(ImportError):
        # The machines under QEMU run tests that do without it.
        from hypothesis import settings

        settings.register_profile("any machine", deadline=None)
        settings.load_profile("any machine")
    # Take back what nohup, or a shell in the background, has programs ignore.
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(
                number,
                signal.default_int_handler
                if number == signal.SIGINT
                else signal.SIG_DFL,
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let one architecture be chosen; names are parts of others, so -k cannot."""
    parser.addoption("--arch", help="only what is tested of this architecture")


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Drop what is not of the chosen architecture."""
    chosen = config.getoption("--arch")
    if not chosen:
        return
    dropped = [item for item in items if chosen not in _ids(item)]
    config.hook.pytest_deselected(items=dropped)
    items[:] = [item for item in items if chosen in _ids(item)]


def _ids(item: pytest.Item) -> set[str]:
    """Return the parameters of a test, as words."""
    callspec = getattr(item, "callspec", None)
    values = callspec.params.values() if callspec else ()
    return {value for value in values if isinstance(value, str)}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Parametrize by name only, so that one broken package fails alone."""
    if "arch" in metafunc.fixturenames:
        metafunc.parametrize("arch", registry.names(), indirect=True)


@pytest.fixture
def arch(request: pytest.FixtureRequest) -> Arch:
    """One architecture, as blcr describes it."""
    return registry.get(request.param)


@pytest.fixture
def case(arch: Arch) -> Case:
    """The same architecture, as everybody else describes it."""
    return load(arch.name)
