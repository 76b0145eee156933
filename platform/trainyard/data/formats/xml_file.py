"""XML from outside."""

from xml.etree import ElementTree
from xml.parsers import expat


def parse_xml(content: bytes) -> ElementTree.Element:
    """The root element. ValueError, with the reason in words, for what isn't well-formed or declares entities.

    A DOCTYPE that names an external file only is passed over, and the file isn't read. One with declarations of its
    own is refused, so nothing can be included from elsewhere or grow beyond the file.
    """
    try:
        _check_doctype(content)
        return ElementTree.fromstring(content)
    except (ElementTree.ParseError, expat.ExpatError) as error:
        raise ValueError(f"it is no well-formed XML: {error}") from error
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"its encoding is unknown or wrong: {error}") from error


class _BeginningEnds(Exception):
    """What comes before the root element is read."""


def _check_doctype(content: bytes) -> None:
    """By a parser of its own, as ElementTree's doesn't tell what a DOCTYPE holds. It ends at the root element."""

    def doctype(name: str, system: str | None, public: str | None, has_declarations: bool) -> None:
        if has_declarations:
            raise ValueError("it has a DOCTYPE with declarations, which annotations don't need and which are not read")

    def root(name: str, attributes: object) -> None:
        raise _BeginningEnds

    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = root
    try:
        parser.Parse(content, True)
    except _BeginningEnds:
        return
