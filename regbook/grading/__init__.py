"""Grading: the checks of the notebook, run on submissions that are not trusted.

- `wire`: values as JSON and raw bytes, never pickled
- `server`, `child`: what runs inside the sandbox, with the submission
- `sandbox`: bubblewrap, and the warm process from which every submission is forked
- `submission`: a file, read and recognised
- `grade`: one submission and its result
- `batch`, `report`: a folder of them, its tables and feedback pages
- `cluster`: the same on a dask cluster

The checks and the submission never share a process. The checks ask "call NAME with these arrays";
the submission's process answers with arrays. Whatever it patches, it can only change its answer.
"""
