-- Beside its tools a server offers prompts, resources and resource templates.

ALTER TABLE catalogs ADD COLUMN prompts   TEXT NOT NULL DEFAULT '[]';  -- JSON arrays, as the server sent them
ALTER TABLE catalogs ADD COLUMN resources TEXT NOT NULL DEFAULT '[]';
ALTER TABLE catalogs ADD COLUMN templates TEXT NOT NULL DEFAULT '[]';
