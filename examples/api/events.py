"""events.py API TOKEN_FILE NAMESPACE/NAME CURSOR_FILE: prints the events that
are new since the last call, one a line."""

import json
import pathlib
import sys
import urllib.parse
import urllib.request

api, token_file, domain, cursor_file = sys.argv[1:]
cursor = pathlib.Path(cursor_file)
more = True
while more:
    query = {"limit": 1000}
    if cursor.exists():
        query["after"] = cursor.read_text()
    url = f"{api}/v1/domains/{domain}/events?{urllib.parse.urlencode(query)}"
    token = pathlib.Path(token_file).read_text().strip()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        page = json.load(answer)
    for event in page["events"]:
        print(json.dumps(event))
    # Only now: who is ended before this line sees the page once more, and none is missed.
    cursor.with_suffix(".part").write_text(page["next"])
    cursor.with_suffix(".part").rename(cursor)
    more = page["more"]
