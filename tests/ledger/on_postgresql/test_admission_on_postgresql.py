from tests.ledger.test_admission import *  # noqa: F403
