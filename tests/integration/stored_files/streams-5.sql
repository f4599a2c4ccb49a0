BEGIN TRANSACTION;
CREATE TABLE chunk (
            key INTEGER PRIMARY KEY, last INTEGER NOT NULL, messages INTEGER NOT NULL, aged INTEGER NOT NULL,
            last_ns INTEGER NOT NULL, crc INTEGER NOT NULL, offsets BLOB NOT NULL, body BLOB NOT NULL);
INSERT INTO "chunk" VALUES(281474976710657,1,1,1796081168843,1796081168843270028,3877111939,X'35000000',X'8CE7AB984EF6EC1803001C000000732E614E4154532F312E300D0A4E6174732D4D73672D49643A20300D0A0D0A73746F7265642030');
INSERT INTO "chunk" VALUES(281474976710659,3,1,1796081168846,1796081168846729741,1151855155,X'35000000',X'0DB2E0984EF6EC1803001C000000732E614E4154532F312E300D0A4E6174732D4D73672D49643A20320D0A0D0A73746F7265642032');
CREATE TABLE cursor (
            stream INTEGER NOT NULL, name TEXT NOT NULL, floor INTEGER NOT NULL, runs BLOB NOT NULL, note TEXT NOT NULL,
            seal INTEGER NOT NULL, PRIMARY KEY (stream, name)) WITHOUT ROWID;
INSERT INTO "cursor" VALUES(1,'reader',2,X'','{"config":{"durable_name":"reader","name":"reader","description":"","deliver_policy":"all","opt_start_seq":0,"opt_start_time":null,"ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"backoff":null,"filter_subject":"s.>","filter_subjects":null,"replay_policy":"instant","rate_limit_bps":0,"sample_freq":"","max_waiting":512,"max_ack_pending":1000,"flow_control":false,"headers_only":false,"max_batch":0,"max_expires":0,"max_bytes":0,"deliver_subject":"","deliver_group":"","idle_heartbeat":0,"inactive_threshold":0,"num_replicas":0,"mem_storage":false,"direct":false,"sourcing":false,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"},"pause_until":null,"priority_groups":null,"priority_policy":"","priority_timeout":0},"created":1796081168851746284,"state":[[2,2],[2,2],3,[],{},[],0,[],[]]}',1363391464);
CREATE TABLE departed (key INTEGER PRIMARY KEY, ids BLOB NOT NULL, seal INTEGER NOT NULL);
CREATE TABLE epoch (
            stream INTEGER NOT NULL, first INTEGER NOT NULL, epoch INTEGER NOT NULL,
            PRIMARY KEY (stream, first)) WITHOUT ROWID;
INSERT INTO "epoch" VALUES(1,1,4334159203036911725);
CREATE TABLE gone (key INTEGER PRIMARY KEY, bits BLOB NOT NULL, size INTEGER NOT NULL, seal INTEGER NOT NULL);
CREATE TABLE identity (name TEXT PRIMARY KEY, value TEXT NOT NULL, seal INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE keepsake (
            stream INTEGER NOT NULL, cursor TEXT NOT NULL, account TEXT NOT NULL, name TEXT NOT NULL,
            limits TEXT NOT NULL, note TEXT NOT NULL, seal INTEGER NOT NULL,
            PRIMARY KEY (stream, cursor)) WITHOUT ROWID;
INSERT INTO "keepsake" VALUES(1,'','$G','jetstream/S','{"max_age":0.0,"max_per_subject":5}','{"config":{"name":"S","description":"","subjects":["s.>"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":5,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"no_ack":false,"duplicate_window":120000000000,"placement":null,"mirror":null,"sources":null,"compression":"none","first_seq":0,"subject_transform":null,"republish":null,"allow_direct":false,"mirror_direct":false,"discard_new_per_subject":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":null,"allow_msg_ttl":false,"subject_delete_marker_ttl":0,"allow_msg_counter":false,"allow_atomic":false,"allow_msg_schedules":false,"persist_mode":"","allow_batched":false,"template_owner":"","metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"},"pedantic":false},"created":1796081168838689639,"is_partial":false}',3736996209);
INSERT INTO "keepsake" VALUES(1,'reader','','','','{"config":{"durable_name":"reader","name":"reader","description":"","deliver_policy":"all","opt_start_seq":0,"opt_start_time":null,"ack_policy":"explicit","ack_wait":30000000000,"max_deliver":-1,"backoff":null,"filter_subject":"s.>","filter_subjects":null,"replay_policy":"instant","rate_limit_bps":0,"sample_freq":"","max_waiting":512,"max_ack_pending":1000,"flow_control":false,"headers_only":false,"max_batch":0,"max_expires":0,"max_bytes":0,"deliver_subject":"","deliver_group":"","idle_heartbeat":0,"inactive_threshold":0,"num_replicas":0,"mem_storage":false,"direct":false,"sourcing":false,"metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"},"pause_until":null,"priority_groups":null,"priority_policy":"","priority_timeout":0},"created":1796081168851746284,"state":[[0,0],[0,0],1,[],{},[],0,[],[]]}',1115090411);
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE stream (
            id INTEGER PRIMARY KEY, account TEXT NOT NULL, name TEXT, first INTEGER NOT NULL, last INTEGER NOT NULL,
            last_ns INTEGER NOT NULL, limits TEXT NOT NULL, note TEXT NOT NULL, seal INTEGER NOT NULL);
INSERT INTO "stream" VALUES(1,'$G','jetstream/S',1,3,1796081168846729741,'{"max_age":0.0,"max_per_subject":5}','{"config":{"name":"S","description":"","subjects":["s.>"],"retention":"limits","max_consumers":-1,"max_msgs":-1,"max_bytes":-1,"max_age":0,"max_msgs_per_subject":5,"max_msg_size":-1,"discard":"old","storage":"file","num_replicas":1,"no_ack":false,"duplicate_window":120000000000,"placement":null,"mirror":null,"sources":null,"compression":"none","first_seq":0,"subject_transform":null,"republish":null,"allow_direct":false,"mirror_direct":false,"discard_new_per_subject":false,"sealed":false,"deny_delete":false,"deny_purge":false,"allow_rollup_hdrs":false,"consumer_limits":null,"allow_msg_ttl":false,"subject_delete_marker_ttl":0,"allow_msg_counter":false,"allow_atomic":false,"allow_msg_schedules":false,"persist_mode":"","allow_batched":false,"template_owner":"","metadata":{"_nats.level":"5","_nats.req.level":"0","_nats.ver":"2.15.1"},"pedantic":false},"created":1796081168838689639,"is_partial":false}',3668349103);
CREATE TABLE summary (
            key INTEGER PRIMARY KEY, last INTEGER NOT NULL, chunks BLOB NOT NULL, subjects BLOB,
            seal INTEGER NOT NULL);
COMMIT;
PRAGMA user_version = 5;
