-- What a server declares beyond the protocol, so that clients are told of it before it was started.

ALTER TABLE catalogs ADD COLUMN extensions TEXT;  -- JSON: {"extensions": {…}, "experimental": {…}}
