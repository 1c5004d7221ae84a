from tests.ledger.test_governing import *  # noqa: F403
