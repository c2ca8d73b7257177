-- Version 3. On which day a reader last did something, where no more is kept of that.

-- One row for each message, reader and type, by a keyed hash of these; day counts from 1970.
CREATE TABLE mailtrail.last_dates (
  key uuid PRIMARY KEY,
  domain text NOT NULL,
  message_id text NOT NULL,
  recipient text,
  type text NOT NULL,
  day integer NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX last_dates_message ON mailtrail.last_dates (domain, message_id);
CREATE INDEX last_dates_recipient ON mailtrail.last_dates (domain, recipient) WHERE recipient IS NOT NULL;
