"""What shares a process or a sandbox with a submission, which may be hostile.

- `server`: the warm process, from which a child is forked for each submission
- `child`: the process that runs a submission's cells and calls its functions
- `spawned`: a child where none can be forked
- `syscalls`: the system calls that are refused

A submission can read and change all of it, so nothing here is secret and nothing that it says is
believed: the grader, outside, decodes it as data and checks it before use.
"""
