"""The speed of the whole path on the real stack, beside ceilings measured in the same run."""
