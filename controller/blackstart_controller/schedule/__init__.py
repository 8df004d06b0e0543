"""When runs start by themselves. `due` is pure; `waker` is the only part that acts."""
