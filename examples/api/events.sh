#!/bin/sh
# events.sh API TOKEN_FILE NAMESPACE/NAME CURSOR_FILE: prints what is new since the last call, a page of events a line.
set -eu
more=true
while [ "$more" = true ]; do
  after=$(cat "$4" 2> /dev/null || :)
  page=$(curl --silent --show-error --fail-with-body --max-time 10 --header "Authorization: Bearer $(cat "$2")" \
    "$1/v1/domains/$3/events?limit=1000${after:+&after=$after}")
  printf '%s\n' "$page"
  # Only now: who is ended before this line sees the page once more, and none is missed. (The page ends in these two; jq reads them as well.)
  printf '%s' "$page" | sed 's/.*"next":"\([^"]*\)","more":[a-z]*}$/\1/' > "$4.part" && mv "$4.part" "$4"
  more=$(printf '%s' "$page" | sed 's/.*"more":\([a-z]*\)}$/\1/')
done
