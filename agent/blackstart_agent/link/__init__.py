"""The unprivileged half of an agent: the stream to the controller. It may die at any moment."""
