# What `helm test` does: tracks a mail, opens it, follows its link, finds both events. Asked of the API and the public port by their Services.
authorization="Authorization: Bearer $(cat /token/token)"
mail='{"domain": "'$DOMAIN'", "message_id": "helm-test", "html": "<p><a href=\"https://example.com/offer\">look</a></p>"}'
waited=0
until answer=$(curl --silent --show-error --fail-with-body --max-time 5 --header "$authorization" --json "$mail" "$API/v1/rewrite") &&
  link=$(echo "$answer" | grep -o 'https://[^"\\]*/c/[0-9a-v]*' | head -n 1) && [ -n "$link" ]; do
  waited=$((waited + 1))
  [ "$waited" -lt 60 ] || {
    echo "the mail is not tracked. The last answer: ${answer:-none, see the pods: kubectl get pods -n $NAMESPACE}"
    # The test's objects go with it.
    echo "To look at its domain, make it again: helm get hooks $RELEASE -n $NAMESPACE | kubectl apply -f -"
    echo "then: kubectl describe td mailtrail-test -n $NAMESPACE"
    exit 1
  }
  sleep 1
done
pixel=$(echo "$answer" | grep -o 'https://[^"\\]*/o/[0-9a-v]*' | head -n 1)
# As a reader would come, but for TLS, which ends before Mailtrail.
ask() { curl --silent --show-error --max-time 5 --output /dev/null --connect-to "::$PUBLIC" --write-out "$1" "http${2#https}"; }
type=$(ask '%{http_code} %{content_type}' "$pixel")
[ "$type" = "200 image/gif" ] || { echo "the pixel is answered with $type"; exit 1; }
to=$(ask '%{http_code} %{redirect_url}' "$link")
[ "$to" = "302 https://example.com/offer" ] || { echo "the link is answered with $to"; exit 1; }
# A reader is not kept waiting for a slow disk, so an event may come a moment after its answer.
for type in opened clicked; do
  waited=0
  until events=$(curl --silent --show-error --fail-with-body --max-time 5 --header "$authorization" "$API/v1/domains/$DOMAIN/events?message_id=helm-test&provisional=true") &&
    echo "$events" | grep -q "\"type\":\"$type\""; do
    waited=$((waited + 1))
    [ "$waited" -lt 15 ] || { echo "no event '$type': $events"; exit 1; }
    sleep 1
  done
done
echo "a mail was tracked, opened, clicked, and both events are there"
