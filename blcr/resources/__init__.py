"""
One module for each kind of state: saving it and rebuilding it, side by side.

`save` reads facts and makes calls in the name of a frozen process and returns records;
`rebuild` makes the calls that bring a new process into that state.  What cannot be
saved raises RefusedError, before anything is written.
"""
