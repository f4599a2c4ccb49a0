/* One login by nats.c: nats_login URL [creds FILE] [nkey PUBLIC SEED-FILE] [user NAME PASSWORD] [token TOKEN]
 * [ca FILE] [cert FILE KEY]. Prints "ok" once a message to itself has come back, else what the library says. */
#include <nats/nats.h>
#include <stdio.h>
#include <string.h>

#define PATIENCE_MS 10000

static natsStatus use(natsOptions *options, char **words, int *taken) {
    *taken = 2;
    if (!strcmp(words[0], "creds")) return natsOptions_SetUserCredentialsFromFiles(options, words[1], NULL);
    if (!strcmp(words[0], "token")) return natsOptions_SetToken(options, words[1]);
    if (!strcmp(words[0], "ca")) {
        natsStatus status = natsOptions_SetSecure(options, true);
        return status == NATS_OK ? natsOptions_LoadCATrustedCertificates(options, words[1]) : status;
    }
    *taken = 3;
    if (!strcmp(words[0], "nkey")) return natsOptions_SetNKeyFromSeed(options, words[1], words[2]);
    if (!strcmp(words[0], "user")) return natsOptions_SetUserInfo(options, words[1], words[2]);
    if (!strcmp(words[0], "cert")) return natsOptions_LoadCertificatesChain(options, words[1], words[2]);
    return NATS_INVALID_ARG;
}

static natsStatus talk(natsConnection *connection) {
    natsSubscription *inbox = NULL;
    natsMsg *message = NULL;
    natsStatus status = natsConnection_SubscribeSync(&inbox, connection, "self");
    if (status == NATS_OK) status = natsConnection_PublishString(connection, "self", "hello");
    if (status == NATS_OK) status = natsSubscription_NextMsg(&message, inbox, PATIENCE_MS);
    natsMsg_Destroy(message);
    natsSubscription_Destroy(inbox);
    return status;
}

int main(int count, char **words) {
    natsOptions *options = NULL;
    natsConnection *connection = NULL;
    natsStatus status = natsOptions_Create(&options);
    if (status == NATS_OK) status = natsOptions_SetURL(options, words[1]);
    if (status == NATS_OK) status = natsOptions_SetAllowReconnect(options, false);
    for (int index = 2, taken; status == NATS_OK && index < count; index += taken)
        status = use(options, words + index, &taken);
    if (status == NATS_OK) status = natsConnection_Connect(&connection, options);
    if (status == NATS_OK) status = talk(connection);
    puts(status == NATS_OK ? "ok" : nats_GetLastError(NULL) ? nats_GetLastError(NULL) : natsStatus_GetText(status));
    natsConnection_Destroy(connection);
    natsOptions_Destroy(options);
    nats_Close();
    return 0;
}
