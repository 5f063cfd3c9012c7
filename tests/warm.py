"""Imported by the server that processes to be killed are forked from: everything that a command
would otherwise spend its first second on. Opens no connection and starts no thread.
"""

import threading

import boto3.session

import tests.killing
import tests.test_kill
import tests.test_together  # noqa: F401
from data_access.projections import load_projections
from data_access.projections.text import word_entropy

load_projections()
word_entropy(["a text to have spaCy loaded"])
boto3.session.Session()
assert threading.active_count() == 1
