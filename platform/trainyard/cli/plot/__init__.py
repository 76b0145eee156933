"""The curves of a sweep as one picture, for the screen and for print."""
