import orjson
from hypothesis import given
from hypothesis import strategies as st

from apimachinery.kit.go_json import encode, escaped

TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>&\u2028\u2029\\u"))


def test_the_five_characters() -> None:
    assert encode({"<a>": "b & c\u2028\u2029"}) == rb'{"\u003ca\u003e":"b \u0026 c\u2028\u2029"}'


@given(st.dictionaries(TEXT, TEXT))
def test_it_means_the_same(document: dict[str, str]) -> None:
    written = encode(document)
    assert orjson.loads(written) == document and escaped(written) == written
    assert not any(char in written.decode() for char in "<>&\u2028\u2029")
    assert orjson.loads(encode(document, indented=True)) == document
