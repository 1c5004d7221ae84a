from tests.ledger.test_schedules import (  # noqa: F401
    beginning,
    test_no_schedule_on_disk_does_so_either_nor_contradicts_its_checkpoints,
)
