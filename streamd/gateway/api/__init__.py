"""The API's operations, a module for each kind of thing."""
