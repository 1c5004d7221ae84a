"""`dpsynth bench knowledge`: what readers of synthetic tables know of an invented domain, beside one of its records."""
