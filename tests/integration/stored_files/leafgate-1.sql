BEGIN TRANSACTION;
CREATE TABLE message (
            id INTEGER PRIMARY KEY, subject BLOB NOT NULL, reply BLOB NOT NULL, header_size INTEGER NOT NULL,
            body BLOB NOT NULL, qos INTEGER NOT NULL, expires_at REAL NOT NULL);
INSERT INTO "message" VALUES(1,X'6B6570742E61',X'',0,X'717565756564',1,0.0);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO "meta" VALUES('gateway-id','axSFdJ9p');
CREATE TABLE queue (
            session INTEGER NOT NULL, sequence INTEGER NOT NULL, message INTEGER NOT NULL, flags INTEGER NOT NULL,
            identifiers TEXT, PRIMARY KEY (session, sequence)) WITHOUT ROWID;
INSERT INTO "queue" VALUES(1,1,1,1,NULL);
CREATE TABLE received (
            session INTEGER NOT NULL, packet_id INTEGER NOT NULL, PRIMARY KEY (session, packet_id)) WITHOUT ROWID;
CREATE TABLE retained (
            subject BLOB NOT NULL PRIMARY KEY, reply BLOB NOT NULL, header_size INTEGER NOT NULL, body BLOB NOT NULL,
            qos INTEGER NOT NULL, expires_at REAL NOT NULL) WITHOUT ROWID;
INSERT INTO "retained" VALUES(X'73746174652E61',X'',28,X'4E4154532F312E300D0A4D7174742D52657461696E3A20310D0A0D0A72657461696E6564',1,0.0);
CREATE TABLE session (
            key INTEGER PRIMARY KEY, client_id BLOB NOT NULL UNIQUE, version INTEGER NOT NULL,
            expiry_seconds INTEGER NOT NULL, ended_at REAL NOT NULL,
            will_subject BLOB, will_reply BLOB, will_header_size INTEGER, will_body BLOB, will_qos INTEGER,
            will_retain INTEGER, will_delay_seconds INTEGER, will_expiry_seconds INTEGER, will_due_at REAL);
INSERT INTO "session" VALUES(1,X'6B6565706572',0,4294967295,1.795973182377450943e+09,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL,NULL);
CREATE TABLE subscription (
            session INTEGER NOT NULL, topic_filter BLOB NOT NULL, qos INTEGER NOT NULL, no_local INTEGER NOT NULL,
            retain_as_published INTEGER NOT NULL, retain_handling INTEGER NOT NULL, identifier INTEGER NOT NULL,
            PRIMARY KEY (session, topic_filter)) WITHOUT ROWID;
INSERT INTO "subscription" VALUES(1,X'6B6570742F23',1,0,0,0,0);
COMMIT;
PRAGMA user_version = 1;
