"""Checks an OpenAPI document by a validator that is none of ours, and what its schemas say of values.

    python check_openapi.py DOCUMENT < CASES

CASES is a JSON list of [name of a schema, value, whether it is valid]. Prints what is wrong; nothing if all is right.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

with open(sys.argv[1]) as file:
    document = json.load(file)
for error in OpenAPIV31SpecValidator(document).iter_errors():
    print("document:", list(error.absolute_path), error.message[:500])
resource = Resource(contents=document, specification=DRAFT202012)
registry = Registry().with_resource("urn:document", resource)
for name, schema in document["components"]["schemas"].items():
    for error in Draft202012Validator(Draft202012Validator.META_SCHEMA).iter_errors(schema):
        print("schema:", name, list(error.absolute_path), error.message[:500])
for name, value, expected in json.load(sys.stdin):
    schema = {"$ref": f"urn:document#/components/schemas/{name}"}
    errors = list(Draft202012Validator(schema, registry=registry).iter_errors(value))
    if (not errors) != expected:
        print("value:", name, value, [error.message[:200] for error in errors])
