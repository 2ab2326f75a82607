"""The reference of the contract, from the comments of proto/: services, messages, enums and error reasons."""

import re
import tempfile
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)
from grpc_tools import protoc

PROTO = Path(__file__).resolve().parents[2] / "proto"
PUBLIC = "athanor.v1"

# Field numbers in descriptor.proto, of which the paths of comments are made.
MESSAGES, ENUMS, SERVICES = 4, 5, 6
FIELDS = METHODS = VALUES = 2
NESTED, NESTED_ENUMS = 3, 4

Comments = dict[tuple[int, ...], str]


def pages() -> dict[str, str]:
    """Return a page for the public contract and one for that of runners."""
    described = descriptors()
    public = [file for file in described if file.package == PUBLIC]
    runners = [file for file in described if file.package != PUBLIC]
    return {
        "reference/contract.md": page(
            "The contract", "What holds for all of it is on [the page before](api.md).", public
        ),
        "reference/runner-contract.md": page(
            "The contract of runners",
            "What a message definition cannot say is in [the protocol](../explanation/protocol.md).",
            runners,
        ),
    }


def descriptors() -> list[FileDescriptorProto]:
    """Return every file of proto/ with its comments, services first."""
    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "contract.binpb"
        status = protoc.main(
            [
                "protoc",
                f"-I{PROTO}",
                f"-I{files('grpc_tools') / '_proto'}",
                "--include_source_info",
                f"--descriptor_set_out={target}",
                *sorted(str(path.relative_to(PROTO)) for path in PROTO.rglob("*.proto")),
            ]
        )
        if status:
            raise RuntimeError(f"protoc failed with status {status}")
        found = FileDescriptorSet.FromString(target.read_bytes()).file
    return sorted(found, key=lambda file: (not file.service, file.name))


def page(title: str, introduction: str, described: list[FileDescriptorProto]) -> str:
    """Return one page for these files."""
    parts = [f"# {title}", f"Made from the comments in `proto/`. {introduction}"]
    for file in described:
        comments = {tuple(place.path): place.leading_comments for place in file.source_code_info.location}
        parts.extend(describe_file(file, comments))
    return "\n\n".join(part for part in parts if part) + "\n"


def describe_file(file: FileDescriptorProto, comments: Comments) -> Iterator[str]:
    """Yield what a file defines, in the order: services, messages, enums."""
    for index, service in enumerate(file.service):
        yield from describe_service(service, (SERVICES, index), comments)
    for index, message in enumerate(file.message_type):
        yield from describe_message(message, message.name, (MESSAGES, index), comments)
    for index, enum in enumerate(file.enum_type):
        yield from describe_enum(enum, enum.name, (ENUMS, index), comments)


def describe_service(service: ServiceDescriptorProto, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    """Yield a service with a row for each call."""
    yield from heading(service.name, "service", path, comments)
    rows = ["| call | takes | gives | |", "| --- | --- | --- | --- |"]
    for index, method in enumerate(service.method):
        takes = ("stream of " if method.client_streaming else "") + link(method.input_type)
        gives = ("stream of " if method.server_streaming else "") + link(method.output_type)
        rows.append(f"| `{method.name}` | {takes} | {gives} | {said(comments, (*path, METHODS, index))} |")
    yield "\n".join(rows)


def describe_message(message: DescriptorProto, name: str, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    """Yield a message with a row for each field, then what is defined inside of it."""
    if message.options.map_entry:
        return
    yield from heading(name, "message", path, comments)
    rows = ["| field | number | type | |", "| --- | --- | --- | --- |"]
    for index, field in enumerate(message.field):
        text = said(comments, (*path, FIELDS, index))
        if field.HasField("oneof_index") and not field.proto3_optional:
            text = f"One of `{message.oneof_decl[field.oneof_index].name}`. {text}"
        rows.append(f"| `{field.name}` | {field.number} | {type_of(field, message)} | {text} |")
    if message.field:
        yield "\n".join(rows)
    for index, nested in enumerate(message.nested_type):
        yield from describe_message(nested, f"{name}.{nested.name}", (*path, NESTED, index), comments)
    for index, enum in enumerate(message.enum_type):
        yield from describe_enum(enum, f"{name}.{enum.name}", (*path, NESTED_ENUMS, index), comments)


def describe_enum(enum: EnumDescriptorProto, name: str, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    """Yield an enum with a row for each value."""
    yield from heading(name, "enum", path, comments)
    rows = ["| value | number | |", "| --- | --- | --- |"]
    for index, value in enumerate(enum.value):
        rows.append(f"| `{value.name}` | {value.number} | {said(comments, (*path, VALUES, index))} |")
    yield "\n".join(rows)


def heading(name: str, kind: str, path: tuple[int, ...], comments: Comments) -> Iterator[str]:
    """Yield the name, to be linked to by it, and what is said of it."""
    yield f"## {name} {{ #{anchor(name)} }}"
    yield f"*{kind}*. {said(comments, path)}"


def type_of(field: FieldDescriptorProto, message: DescriptorProto) -> str:
    """Return how the field's type is written, with a link where it is of the contract."""
    for nested in message.nested_type:
        if nested.options.map_entry and field.type_name.endswith(f".{nested.name}"):
            key, value = (type_of(part, nested) for part in nested.field)
            return f"map of {key} to {value}"
    if field.type_name:
        kind = link(field.type_name)
    else:
        kind = f"`{FieldDescriptorProto.Type.Name(field.type).removeprefix('TYPE_').lower()}`"
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {kind}"
    return f"optional {kind}" if field.proto3_optional else kind


def link(type_name: str) -> str:
    """Return a type's name, linked when it is on a page of ours."""
    name = type_name.removeprefix(".")
    for package, target in ((PUBLIC, "contract.md"), ("athanor.runner.v1", "runner-contract.md")):
        if name.startswith(f"{package}."):
            short = name.removeprefix(f"{package}.")
            return f"[`{short}`]({target}#{anchor(short)})"
    return f"`{name}`"


def anchor(name: str) -> str:
    return name.lower().replace(".", "-")


def said(comments: Comments, path: tuple[int, ...]) -> str:
    """Return the comment of an element on one line, fit for a cell of a table."""
    text = " ".join(comments.get(path, "").split())
    return re.sub(r"([<>|*_\[\]])", r"\\\1", text).replace("\\<", "&lt;").replace("\\>", "&gt;")
