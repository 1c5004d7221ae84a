from tests.ledger.test_incidents import *  # noqa: F403
