/* Streams by nats.c: nats_streams URL. Says line by line what the library tells of what it did; a server is as good as
 * another one where it says the same. */
#include <nats/nats.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 10000
#define COUNT 20

static void say(const char *what, natsStatus status, jsErrCode fault) {
    printf("%s: %s %d\n", what, natsStatus_GetText(status), (int)fault);
}

static void publish(jsCtx *js, const char *subject, const char *id, jsPubOptions *options) {
    jsPubOptions own;
    jsPubAck *ack = NULL;
    jsErrCode fault = 0;
    natsStatus status;
    jsPubOptions_Init(&own);
    if (options == NULL) options = &own;
    options->MsgId = id;
    status = js_Publish(&ack, js, subject, subject, (int)strlen(subject), options, &fault);
    if (status == NATS_OK) printf("ack: %s %d %d\n", ack->Stream, (int)ack->Sequence, ack->Duplicate);
    else say("publish", status, fault);
    jsPubAck_Destroy(ack);
}

static void tell(jsCtx *js, const char *stream) {
    jsStreamInfo *info = NULL;
    jsErrCode fault = 0;
    natsStatus status = js_GetStreamInfo(&info, js, stream, NULL, &fault);
    if (status != NATS_OK) {
        say("info", status, fault);
        return;
    }
    printf("info: %d messages, %d to %d, %d subjects, %d consumers\n", (int)info->State.Msgs, (int)info->State.FirstSeq,
           (int)info->State.LastSeq, (int)info->State.NumSubjects, (int)info->State.Consumers);
    jsStreamInfo_Destroy(info);
}

static void stream(jsCtx *js) {
    const char *subjects[] = {"c.>"};
    jsStreamConfig config;
    jsPubOptions options;
    jsErrCode fault = 0;
    natsMsg *message = NULL;
    natsStatus status;
    int number;
    jsStreamConfig_Init(&config);
    config.Name = "C";
    config.Subjects = subjects;
    config.SubjectsLen = 1;
    config.AllowDirect = true;
    say("add", js_AddStream(NULL, js, &config, NULL, &fault), fault);
    config.MaxMsgs = 1000;
    say("add another", js_AddStream(NULL, js, &config, NULL, &fault), fault);
    say("update", js_UpdateStream(NULL, js, &config, NULL, &fault), fault);
    publish(js, "c.one", "id", NULL);
    publish(js, "c.one", "id", NULL);
    jsPubOptions_Init(&options);
    options.ExpectLastSeq = 7;
    publish(js, "c.two", NULL, &options);
    for (number = 0; number < COUNT; number++) {
        status = js_PublishAsync(js, "c.many", "x", 1, NULL);
        if (status != NATS_OK) say("publish async", status, 0);
    }
    jsPubOptions_Init(&options);
    options.MaxWait = PATIENCE_MS;
    say("published", js_PublishAsyncComplete(js, &options), 0);
    tell(js, "C");
    status = js_GetMsg(&message, js, "C", 1, NULL, &fault);
    say(status == NATS_OK ? natsMsg_GetSubject(message) : "get", status, fault);
    natsMsg_Destroy(message);
    message = NULL;
    status = js_GetMsg(&message, js, "C", 99, NULL, &fault);
    say("get 99", status, fault);
    status = js_GetLastMsg(&message, js, "C", "c.many", NULL, &fault);
    if (status == NATS_OK) printf("last: %d\n", (int)natsMsg_GetSequence(message));
    natsMsg_Destroy(message);
    say("delete", js_DeleteMsg(js, "C", 2, NULL, &fault), fault);
    tell(js, "C");
}

static void consumers(jsCtx *js) {
    natsSubscription *pull = NULL, *push = NULL;
    natsMsgList list = {NULL, 0};
    jsConsumerInfo *info = NULL;
    jsErrCode fault = 0;
    natsMsg *message = NULL;
    natsStatus status;
    int number, count = 0;
    say("pull", js_PullSubscribe(&pull, js, "c.many", "puller", NULL, NULL, &fault), fault);
    while (count < COUNT - 1) {
        status = natsSubscription_Fetch(&list, pull, 8, 1000, &fault);
        if (status != NATS_OK) {
            say("fetch", status, fault);
            break;
        }
        for (number = 0; number < list.Count; number++) natsMsg_AckSync(list.Msgs[number], NULL, &fault);
        count += list.Count;
        natsMsgList_Destroy(&list);
    }
    printf("fetched: %d\n", count);
    status = natsSubscription_Fetch(&list, pull, 8, 50, &fault);
    say("fetch again", status, 0);
    status = natsSubscription_GetConsumerInfo(&info, pull, NULL, &fault);
    if (status == NATS_OK)
        printf("floor: %d, pending %d, on their way %d\n", (int)info->AckFloor.Stream, (int)info->NumPending,
               (int)info->NumAckPending);
    jsConsumerInfo_Destroy(info);
    natsSubscription_Destroy(pull);
    say("push", js_SubscribeSync(&push, js, "c.>", NULL, NULL, &fault), fault);
    for (number = 0; number < COUNT; number++) {
        jsMsgMetaData *place = NULL;
        status = natsSubscription_NextMsg(&message, push, PATIENCE_MS);
        if (status != NATS_OK) {
            say("next", status, 0);
            break;
        }
        natsMsg_GetMetaData(&place, message);
        printf("%d ", (int)place->Sequence.Stream);
        jsMsgMetaData_Destroy(place);
        natsMsg_Ack(message, NULL);
        natsMsg_Destroy(message);
    }
    printf("pushed\n");
    natsSubscription_Unsubscribe(push);
    natsSubscription_Destroy(push);
    say("purge", js_PurgeStream(js, "C", NULL, &fault), fault);
    tell(js, "C");
    say("remove", js_DeleteStream(js, "C", NULL, &fault), fault);
    tell(js, "C");
}

static void get(kvStore *bucket, const char *key) {
    kvEntry *entry = NULL;
    natsStatus status = kvStore_Get(&entry, bucket, key);
    if (status == NATS_OK) printf("%s: %s %d\n", key, kvEntry_ValueString(entry), (int)kvEntry_Revision(entry));
    else say(key, status, 0);
    kvEntry_Destroy(entry);
}

static void keys(jsCtx *js) {
    kvConfig config;
    kvStore *bucket = NULL;
    kvWatcher *watcher = NULL;
    kvEntry *entry = NULL;
    kvEntryList history = {NULL, 0};
    kvKeysList list = {NULL, 0};
    uint64_t revision = 0;
    kvConfig_Init(&config);
    config.Bucket = "C";
    config.History = 5;
    say("bucket", js_CreateKeyValue(&bucket, js, &config), 0);
    if (bucket == NULL) return;
    kvStore_PutString(&revision, bucket, "colour", "red");
    printf("put: %d\n", (int)revision);
    say("create", kvStore_CreateString(&revision, bucket, "colour", "green"), 0);
    say("update", kvStore_UpdateString(&revision, bucket, "colour", "blue", 1), 0);
    say("update", kvStore_UpdateString(&revision, bucket, "colour", "black", 1), 0);
    get(bucket, "colour");
    get(bucket, "size");
    kvStore_CreateString(&revision, bucket, "size", "large");
    say("watch", kvStore_WatchAll(&watcher, bucket, NULL), 0);
    while (kvWatcher_Next(&entry, watcher, PATIENCE_MS) == NATS_OK && entry != NULL) {
        printf("%s is %s\n", kvEntry_Key(entry), kvEntry_ValueString(entry));
        kvEntry_Destroy(entry);
    }
    say("delete", kvStore_Delete(bucket, "size"), 0);
    if (kvWatcher_Next(&entry, watcher, PATIENCE_MS) == NATS_OK && entry != NULL)
        printf("%s: operation %d\n", kvEntry_Key(entry), (int)kvEntry_Operation(entry));
    kvEntry_Destroy(entry);
    kvWatcher_Destroy(watcher);
    say("history", kvStore_History(&history, bucket, "colour", NULL), 0);
    printf("revisions: %d\n", history.Count);
    kvEntryList_Destroy(&history);
    say("purge", kvStore_Purge(bucket, "colour", NULL), 0);
    get(bucket, "colour");
    say("keys", kvStore_Keys(&list, bucket, NULL), 0);
    printf("keys: %d\n", list.Count);
    kvKeysList_Destroy(&list);
    kvStore_Destroy(bucket);
    say("remove", js_DeleteKeyValue(js, "C"), 0);
}

int main(int count, char **words) {
    natsConnection *connection = NULL;
    jsCtx *js = NULL;
    jsOptions options;
    natsStatus status = natsConnection_ConnectTo(&connection, words[1]);
    jsOptions_Init(&options);
    options.Wait = PATIENCE_MS;
    if (status == NATS_OK) status = natsConnection_JetStream(&js, connection, &options);
    if (status == NATS_OK) {
        stream(js);
        consumers(js);
        keys(js);
    }
    say("end", status, 0);
    jsCtx_Destroy(js);
    natsConnection_Destroy(connection);
    nats_Close();
    return 0;
}
