"""The command line: parse, call one function of the core, print. A file a command; `app` ties them together."""
