"""What holds of a request and no schema can say: requests that are meant to be
accepted are made so; those that are meant to be refused are left as they are."""

import os
import re

import schemathesis
from schemathesis.generation import GenerationMode

# Header fields of a form that no schema of ours tells.
FORMED = {"mailtrail-tag", "mailtrail-sent-at", "mailtrail-unsubscribe-url"}
# Names of tags that are taken.
WORD = re.compile(r"^[!-~]{1,99}\Z")
# A tracking URL that the running data plane has made.
URL = os.environ["MAILTRAIL_URL"]


@schemathesis.hook
def before_call(context, case, kwargs):
    meta = getattr(case, "meta", None)
    if meta is None or meta.generation.mode != GenerationMode.POSITIVE:
        return
    for asked in (case.query, case.body):
        if not isinstance(asked, dict):
            continue
        # A cursor is one that a list gave.
        asked.pop("after", None)
        # One value of a key, in one line.
        asked.pop("tag", None)
        # Time runs forwards.
        if asked.get("since") is not None:
            asked.pop("until", None)
        # Statistics are of 31 days at most.
        if case.path.endswith("/stats"):
            asked.pop("since", None)
            asked.pop("until", None)
            # There are few time zones, and a tag's name is for groups of tags.
            asked.pop("time_zone", None)
            asked.pop("group_by", None)
            asked.pop("tag_name", None)
    if case.path == "/v1/rewrite" and case.media_type == "text/html":
        # What else JSON has stands in header fields then.
        # A field that is there says something, and a time is a time.
        case.headers = {
            **{
                name: value
                for name, value in (case.headers or {}).items()
                if value and name.lower() not in FORMED
            },
            "Mailtrail-Domain": "shop/links",
            "Mailtrail-Message-Id": "m-1",
        }
    if not isinstance(case.body, dict):
        return
    # A tag has a name, and 256 bytes in all.
    tags = case.body.get("tags")
    if isinstance(tags, dict):
        case.body["tags"] = {key: value[:99] for key, value in tags.items() if WORD.match(key)}
    if case.path.endswith("/replays"):
        # Dead letters, or a time that runs forwards.
        case.body = {"dead_letters": True}
    if case.path.endswith("/resolve"):
        case.body["url"] = URL
    if case.path == "/v1/rewrite":
        # HTML or text, a domain that is there; tags of 256 bytes in all;
        # addresses to unsubscribe at.
        case.body["domain"] = "shop/links"
        if not case.body.get("text"):
            case.body["html"] = case.body.get("html") or "<p>"
        case.body.pop("tags", None)
        case.body.pop("unsubscribe_urls", None)
