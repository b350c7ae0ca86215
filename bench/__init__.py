"""The speed of the writer on real servers, beside COPY of the same rows in the same run."""
