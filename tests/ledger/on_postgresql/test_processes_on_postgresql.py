from tests.ledger.test_processes import *  # noqa: F403
