-- Version 1. Ids are UUIDv7, and what has many rows is cut by their days.

-- The install: the key of withdrawals and cursors, that of the first data folder.
CREATE TABLE mailtrail.install (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  key bytea NOT NULL
);

-- Who ships, and how far it is: in the transaction of the rows, so that nothing comes twice.
CREATE TABLE mailtrail.replicas (
  replica uuid PRIMARY KEY,
  -- The process that ships under this name: of two, with copies of a folder, one takes another.
  session uuid NOT NULL,
  hits_up_to bigint NOT NULL DEFAULT 0,
  messages_up_to bigint NOT NULL DEFAULT 0,
  -- All its hits from before this moment, by its clock, are here.
  hits_until timestamptz NOT NULL DEFAULT '-infinity',
  seen_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (fillfactor = 50);

-- The number of the last settled event; events up to gone_up_to may be past their retention.
CREATE TABLE mailtrail.settling (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  number bigint NOT NULL DEFAULT 0,
  gone_up_to bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO mailtrail.settling DEFAULT VALUES;

-- Hits that wait for their verdict. body is the record of the journal.
CREATE TABLE mailtrail.hits (
  id uuid PRIMARY KEY,
  time timestamptz NOT NULL,
  domain text NOT NULL,
  recipient text,
  who uuid,
  final boolean NOT NULL,
  body bytea NOT NULL
);
CREATE INDEX hits_time ON mailtrail.hits (time, id);

-- Settled events. number has no gaps when it is given, and is seen only with all smaller ones.
CREATE TABLE mailtrail.events (
  id uuid NOT NULL PRIMARY KEY,
  number bigint NOT NULL,
  type text NOT NULL,
  time timestamptz NOT NULL,
  domain text NOT NULL,
  host text NOT NULL,
  message_id text NOT NULL,
  recipient text,
  target text,
  position bigint,
  link_name text,
  verdict text NOT NULL,
  rules text[] NOT NULL,
  first boolean NOT NULL,
  test boolean NOT NULL,
  family text,
  os text,
  device text,
  address text,
  user_agent text,
  own_tags json,
  mail_sent timestamptz NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX events_number ON mailtrail.events (number);
CREATE INDEX events_domain ON mailtrail.events (domain, number);
CREATE INDEX events_message ON mailtrail.events (domain, message_id, number);
CREATE INDEX events_recipient ON mailtrail.events (domain, recipient, number) WHERE recipient IS NOT NULL;
CREATE TABLE mailtrail.events_other PARTITION OF mailtrail.events DEFAULT;

-- What was first by a person, as keyed hashes of message, reader, type and position.
CREATE TABLE mailtrail.firsts (
  key uuid PRIMARY KEY,
  event uuid NOT NULL
);
CREATE INDEX firsts_event ON mailtrail.firsts (event);

-- Message records. record is all of it; again says that the message was recorded before.
CREATE TABLE mailtrail.messages (
  id uuid NOT NULL PRIMARY KEY,
  domain text NOT NULL,
  message_id text NOT NULL,
  recipient text,
  rewritten_at timestamptz NOT NULL,
  sent_at timestamptz,
  tags text[] NOT NULL,
  test boolean NOT NULL,
  again boolean NOT NULL,
  record json NOT NULL
) PARTITION BY RANGE (id);
CREATE INDEX messages_id ON mailtrail.messages (domain, id);
CREATE INDEX messages_message ON mailtrail.messages (domain, message_id, id);
CREATE INDEX messages_recipient ON mailtrail.messages (domain, recipient, message_id, id) WHERE recipient IS NOT NULL;
CREATE INDEX messages_tags ON mailtrail.messages USING gin (tags);
CREATE TABLE mailtrail.messages_other PARTITION OF mailtrail.messages DEFAULT;

-- Mails that were recorded, as keyed hashes of message and reader: each is sent once.
CREATE TABLE mailtrail.mails (
  key uuid PRIMARY KEY,
  message uuid NOT NULL
);
CREATE INDEX mails_message ON mailtrail.mails (message);

-- Who has withdrawn, or was erased, as keyed hashes. Numbers are given one transaction after the other.
CREATE TABLE mailtrail.withdrawals (
  who uuid PRIMARY KEY,
  number bigint NOT NULL GENERATED ALWAYS AS IDENTITY,
  erased boolean NOT NULL,
  made_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE UNIQUE INDEX withdrawals_number ON mailtrail.withdrawals (number);

-- What happened in each hour, since 1970, of each domain.
CREATE TABLE mailtrail.hit_counts (
  domain text NOT NULL,
  hour integer NOT NULL,
  opened_people bigint NOT NULL,
  opened_machines bigint NOT NULL,
  opened_unknown bigint NOT NULL,
  opened_first bigint NOT NULL,
  clicked_people bigint NOT NULL,
  clicked_machines bigint NOT NULL,
  clicked_unknown bigint NOT NULL,
  clicked_first bigint NOT NULL,
  PRIMARY KEY (domain, hour)
) WITH (fillfactor = 70);
CREATE TABLE mailtrail.sent_counts (
  domain text NOT NULL,
  hour integer NOT NULL,
  sent bigint NOT NULL,
  PRIMARY KEY (domain, hour)
) WITH (fillfactor = 70);

-- What is kept of each event sink, and which process delivers for it until when. edition counts the changes of state.
CREATE TABLE mailtrail.deliveries (
  sink text PRIMARY KEY,
  process uuid,
  until timestamptz NOT NULL DEFAULT '-infinity',
  edition bigint NOT NULL DEFAULT 0,
  state json
) WITH (fillfactor = 70);
