"""The fixtures of the tests with whole machines."""

from harness.fixtures import home, session, user, user_name

__all__ = ["home", "session", "user", "user_name"]
