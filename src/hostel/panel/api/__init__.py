"""The REST API: the dialect that clients of PythonAnywhere speak. Owns no table; decides nothing about websites."""
