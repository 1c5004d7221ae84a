"""What the assets work with: the home folder, the ledger, the sensitive store, the artifact store and the warehouse.

Dagster resources, so that every launch path gets the same ones and a test can put its own in their place. This file
imports nothing, so that `resources.home` costs nothing: Dagster takes two seconds to import.
"""
