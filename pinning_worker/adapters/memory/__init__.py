"""The in-memory twin of every port: for story tests, and the measure of the contract suite."""
