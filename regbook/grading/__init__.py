"""Grading: the checks of the notebook, run on submissions that are not trusted.

- `inside`: what shares a sandbox with a submission; all else is the grader's side
- `wire`: what passes between the two, as JSON and raw bytes, never pickled
- `isolation`, `sandbox`: bubblewrap, and the warm process from which every child is forked
- `submission`: the files that were handed in, found, read and recognised
- `grade`: one submission and its result
- `batch`, `store`, `report`: a folder of them, what is kept, its tables and feedback pages
- `cluster`: the same on a dask cluster

The checks and the submission never share a process. The checks ask "call NAME with these arrays";
the submission's process answers with arrays. Whatever it patches, it can only change its answer.
"""
