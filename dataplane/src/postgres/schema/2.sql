-- Version 2. What is counted and told of nobody: no event, no message record.

-- How many of the hits of an hour are told of nobody; they are among those beside them.
ALTER TABLE mailtrail.hit_counts
  ADD COLUMN opened_people_anonymous bigint NOT NULL DEFAULT 0,
  ADD COLUMN opened_machines_anonymous bigint NOT NULL DEFAULT 0,
  ADD COLUMN opened_unknown_anonymous bigint NOT NULL DEFAULT 0,
  ADD COLUMN clicked_people_anonymous bigint NOT NULL DEFAULT 0,
  ADD COLUMN clicked_machines_anonymous bigint NOT NULL DEFAULT 0,
  ADD COLUMN clicked_unknown_anonymous bigint NOT NULL DEFAULT 0;

-- What was counted so, as keyed hashes of ids that stand nowhere else: a copy of a data folder counts nothing twice.
CREATE TABLE mailtrail.counted (
  key uuid PRIMARY KEY,
  hour integer NOT NULL
);

-- When a mail is sent of which nothing else is kept.
ALTER TABLE mailtrail.mails ADD COLUMN sent_at timestamptz;
