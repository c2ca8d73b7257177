#!/bin/sh
# rewrite.sh API TOKEN_FILE DOMAIN MESSAGE_ID RECIPIENT < mail.html > tracked.html
# (For mails of more than some hundred KiB, and where nothing but the HTML is to be said: the mail is streamed.)
set -eu
mail=$(mktemp); trap 'rm -f "$mail" "$mail.tracked"' EXIT
cat > "$mail"
if curl --silent --show-error --fail-with-body --max-time 10 --output "$mail.tracked" "$1/v1/rewrite" \
  --header "Authorization: Bearer $(cat "$2")" --header "Content-Type: text/html" \
  --header "Mailtrail-Domain: $3" --header "Mailtrail-Message-Id: $4" --header "Mailtrail-Recipient: $5" --data-binary "@$mail"
then cat "$mail.tracked"
else [ ! -e "$mail.tracked" ] || cat "$mail.tracked" >&2      # why
  cat "$mail"      # the mail goes out all the same, untracked
fi
