from tests.ledger.test_closed_plan import *  # noqa: F403
