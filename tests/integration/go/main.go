// Streams by nats.go: main URL. Says line by line what the library tells of what it did; a server is as good as another
// one where it says the same.
package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"sort"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const count = 20

func say(what string, err error) {
	var refused *jetstream.APIError
	if errors.As(err, &refused) {
		fmt.Println(what, refused.Code, refused.ErrorCode, refused.Description)
	} else {
		fmt.Println(what, err)
	}
}

func publish(ctx context.Context, js jetstream.JetStream, subject string, options ...jetstream.PublishOpt) {
	ack, err := js.Publish(ctx, subject, []byte(subject), options...)
	if err != nil {
		say("publish", err)
		return
	}
	fmt.Println("ack", ack.Stream, ack.Sequence, ack.Duplicate)
}

func tell(ctx context.Context, stream jetstream.Stream) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"))
	if err != nil {
		say("info", err)
		return
	}
	state := info.State
	fmt.Println("info", state.Msgs, state.FirstSeq, state.LastSeq, state.NumDeleted, state.NumSubjects, state.Subjects)
}

func streams(ctx context.Context, js jetstream.JetStream) jetstream.Stream {
	config := jetstream.StreamConfig{Name: "G", Subjects: []string{"g.>"}, AllowDirect: true, AllowMsgTTL: true}
	stream, err := js.CreateStream(ctx, config)
	say("create", err)
	config.MaxMsgs = 1000
	_, err = js.CreateStream(ctx, config)
	say("create another", err)
	stream, err = js.UpdateStream(ctx, config)
	say("update", err)
	publish(ctx, js, "g.one", jetstream.WithMsgID("id"))
	publish(ctx, js, "g.one", jetstream.WithMsgID("id"))
	publish(ctx, js, "g.two", jetstream.WithExpectLastSequence(7))
	publish(ctx, js, "g.two", jetstream.WithExpectStream("H"))
	publish(ctx, js, "g.ttl", jetstream.WithMsgTTL(time.Hour))
	for number := 0; number < count; number++ {
		if _, err := js.PublishAsync("g.many", []byte("x")); err != nil {
			say("publish async", err)
		}
	}
	<-js.PublishAsyncComplete()
	tell(ctx, stream)
	for _, sequence := range []uint64{1, 99} {
		message, err := stream.GetMsg(ctx, sequence)
		if err == nil {
			fmt.Println("got", message.Subject, message.Sequence, string(message.Data))
		} else {
			say("get", err)
		}
	}
	message, err := stream.GetLastMsgForSubject(ctx, "g.many")
	if err == nil {
		fmt.Println("last", message.Sequence)
	}
	say("delete", stream.DeleteMsg(ctx, 2))
	tell(ctx, stream)
	return stream
}

func consumers(ctx context.Context, js jetstream.JetStream, stream jetstream.Stream) {
	consumer, err := stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "puller", FilterSubjects: []string{"g.one", "g.many"}, AckPolicy: jetstream.AckExplicitPolicy,
	})
	say("consumer", err)
	for got := 0; got < count; {
		batch, err := consumer.Fetch(8, jetstream.FetchMaxWait(time.Second))
		if err != nil {
			say("fetch", err)
			break
		}
		for message := range batch.Messages() {
			place, _ := message.Metadata()
			fmt.Print(place.Sequence.Stream, " ")
			say("acknowledged", message.DoubleAck(ctx))
			got++
		}
	}
	info, err := consumer.Info(ctx)
	if err == nil {
		fmt.Println("floor", info.AckFloor.Stream, info.NumPending, info.NumAckPending)
	}
	none, err := consumer.FetchNoWait(5)
	if err == nil {
		for range none.Messages() {
			fmt.Println("one too many")
		}
		say("none", none.Error())
	}
	ordered, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{FilterSubjects: []string{"g.many"}})
	say("ordered", err)
	messages, err := ordered.Messages()
	say("messages", err)
	for number := 0; number < count-1; number++ {
		message, err := messages.Next()
		if err != nil {
			say("next", err)
			break
		}
		place, _ := message.Metadata()
		fmt.Print(place.Sequence.Stream, " ")
	}
	messages.Stop()
	fmt.Println("in order")
	paused, err := stream.PauseConsumer(ctx, "puller", time.Now().Add(time.Hour))
	say("pause", err)
	fmt.Println("paused", paused != nil && paused.Paused)
	say("delete consumer", stream.DeleteConsumer(ctx, "puller"))
	say("purge", stream.Purge(ctx, jetstream.WithPurgeSubject("g.many"), jetstream.WithPurgeKeep(3)))
	tell(ctx, stream)
	say("delete stream", js.DeleteStream(ctx, "G"))
	tell(ctx, stream)
}

func keys(ctx context.Context, js jetstream.JetStream) {
	bucket, err := js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "G", History: 5, LimitMarkerTTL: time.Minute})
	say("bucket", err)
	get := func(key string) {
		entry, err := bucket.Get(ctx, key)
		if err == nil {
			fmt.Println(key, string(entry.Value()), entry.Revision(), entry.Operation())
		} else {
			say(key, err)
		}
	}
	_, err = bucket.Put(ctx, "colour", []byte("red"))
	say("put", err)
	_, err = bucket.Create(ctx, "colour", []byte("green"))
	say("create", err)
	_, err = bucket.Update(ctx, "colour", []byte("blue"), 1)
	say("update", err)
	_, err = bucket.Update(ctx, "colour", []byte("black"), 1)
	say("update", err)
	get("colour")
	get("size")
	_, err = bucket.Create(ctx, "size", []byte("large"), jetstream.KeyTTL(time.Hour))
	say("create", err)
	watcher, err := bucket.WatchAll(ctx)
	say("watch", err)
	for entry := range watcher.Updates() {
		if entry == nil {
			break
		}
		fmt.Println(entry.Key(), string(entry.Value()), entry.Revision(), entry.Delta())
	}
	say("delete", bucket.Delete(ctx, "size"))
	entry := <-watcher.Updates()
	fmt.Println(entry.Key(), entry.Operation())
	say("stop", watcher.Stop())
	history, err := bucket.History(ctx, "colour")
	say("history", err)
	fmt.Println(len(history))
	say("purge", bucket.Purge(ctx, "colour"))
	get("colour")
	for number := 0; number < 3; number++ {
		_, err = bucket.Put(ctx, fmt.Sprintf("key.%d", number), []byte("x"))
	}
	found, err := bucket.Keys(ctx)
	sort.Strings(found)
	fmt.Println(strings.Join(found, " "), err)
	status, err := bucket.Status(ctx)
	say("status", err)
	fmt.Println(status.Bucket(), status.Values(), status.History())
	say("remove", js.DeleteKeyValue(ctx, "G"))
}

func objects(ctx context.Context, js jetstream.JetStream) {
	store, err := js.CreateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "G"})
	say("store", err)
	data := bytes.Repeat([]byte("0123456789"), 50_000)
	info, err := store.PutBytes(ctx, "file", data)
	say("put", err)
	fmt.Println(info.Size, info.Chunks, info.Digest)
	back, err := store.GetBytes(ctx, "file")
	say("get", err)
	fmt.Println(sha256.Sum256(back) == sha256.Sum256(data))
	_, err = store.GetBytes(ctx, "other")
	say("get", err)
	say("delete", store.Delete(ctx, "file"))
	_, err = store.GetInfo(ctx, "file")
	say("info", err)
	say("remove", js.DeleteObjectStore(ctx, "G"))
}

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	connection, err := nats.Connect(os.Args[1])
	say("connect", err)
	defer connection.Close()
	js, err := jetstream.New(connection)
	say("jetstream", err)
	consumers(ctx, js, streams(ctx, js))
	keys(ctx, js)
	objects(ctx, js)
}
