-- Version 4.

-- How many of the mails of an hour are told of nobody; they are among those beside them.
ALTER TABLE mailtrail.sent_counts ADD COLUMN sent_anonymous bigint NOT NULL DEFAULT 0;

-- The ids of the keys that a replica opens links with; nothing while it has none. They stand in every link.
ALTER TABLE mailtrail.replicas ADD COLUMN keys text[];
