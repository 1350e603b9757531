"""The fixtures of the tests with real processes."""

from harness.fixtures import home, pytest_terminal_summary, session, user, user_name

__all__ = ["home", "pytest_terminal_summary", "session", "user", "user_name"]
