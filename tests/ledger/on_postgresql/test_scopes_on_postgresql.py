from tests.ledger.test_scopes import *  # noqa: F403
