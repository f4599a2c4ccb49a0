"""Where mosquitto 2.0 is known not to do what the specification, or this project beyond it, asks for.

Each row has a reason and the names of tests, with all their parameters or with some; 2.0.11 was looked at. They are
run all the same, and expected to fail.
"""

_BY_REASON: dict[str, tuple[str, ...]] = {
    "closes without the DISCONNECT that tells why": (
        "test_second_connect_ends_the_connection[5.0]",
        "test_newer_connection_takes_a_client_identifier_over[by 3.1.1-from 5.0]",
        "test_newer_connection_takes_a_client_identifier_over[by 5.0-from 5.0]",
        "test_servers_disconnect_has_no_session_expiry",
        "test_rule_of_time_holds[silent_client_is_told_and_closed_and_its_will_said]",
        "test_rule_of_time_holds[messages_to_a_client_do_not_keep_it_alive]",
        "test_broken_rule_ends_the_connection[remaining length of five bytes-5.0]",
        "test_broken_rule_ends_the_connection[PUBREL with flags 0-5.0]",
        "test_broken_rule_ends_the_connection[PUBACK with half a packet identifier-5.0]",
        "test_auth_without_a_method_in_connect_is_a_protocol_error",
        "test_auth_that_names_no_method_is_a_protocol_error",
        "test_auth_with_a_reason_that_no_client_gives_is_a_protocol_error",
        "test_authentication_data_without_a_method_is_a_protocol_error",
    ),
    "answers clients of later versions in the form of 3.1.1": (
        "test_unknown_protocol_level_is_refused[6]",
        "test_unknown_protocol_level_is_refused[9]",
        "test_unknown_protocol_level_is_refused[127]",
    ),
    "lets it pass": (
        "test_reason_that_no_client_may_give_is_a_protocol_error",
        "test_disconnect_with_flags_is_malformed[5.0]",
        "test_broken_rule_ends_the_connection[packet of a server-3.1.1]",
        "test_broken_rule_ends_the_connection[packet of a server-5.0]",
        "test_broken_rule_ends_the_connection[PINGREQ with flags-3.1.1]",
        "test_broken_rule_ends_the_connection[PINGREQ with flags-5.0]",
        "test_broken_rule_ends_the_connection[PINGREQ with a body-3.1.1]",
        "test_broken_rule_ends_the_connection[PINGREQ with a body-5.0]",
        "test_broken_rule_ends_the_connection[PUBLISH with QoS 0 and DUP-3.1.1]",
        "test_broken_rule_ends_the_connection[PUBLISH with QoS 0 and DUP-5.0]",
        "test_broken_rule_of_5_0_ends_the_connection[two subscription identifiers]",
        "test_broken_rule_of_5_0_ends_the_connection[subscription identifier from a client]",
        "test_broken_rule_of_5_0_ends_the_connection[property twice]",
        "test_broken_rule_of_5_0_ends_the_connection[wildcard in the response topic]",
        "test_broken_rule_of_5_0_ends_the_connection[ill-formed user property]",
        "test_broken_rule_of_5_0_ends_the_connection[ill-formed content type]",
        "test_broken_rule_of_5_0_ends_the_connection[payload format 2]",
        "test_broken_rule_of_5_0_ends_the_connection[reason code of others]",
        "test_broken_rule_of_5_0_ends_the_connection[session expiry twice]",
        "test_broken_rule_of_5_0_ends_the_connection[AUTH with flags]",
        "test_payload_that_is_not_the_text_it_says_is_told",
        "test_shared_filter_that_is_incomplete_is_refused",
        "test_no_local_on_a_shared_subscription_is_a_protocol_error",
    ),
    "does not hold to receive maximum": (
        "test_server_sends_no_more_than_the_client_takes",
        "test_pubrec_does_not_open_the_window_and_pubcomp_does",
        "test_window_holds_for_what_is_sent_again",
        "test_client_that_sends_more_than_the_server_takes_is_told_and_closed",
        "test_rule_of_time_holds[message_behind_a_full_window_expires]",
    ),
    "counts packet sizes without the fixed header": ("test_message_too_large_for_a_client_is_passed_over",),
    "stops when messages are too large for the client": ("test_messages_too_large_take_no_place_in_the_window",),
    "sends a copy for each overlapping subscription": (
        "test_overlapping_subscriptions_deliver_once_with_the_highest_quality_of_service[5.0]",
        "test_overlapping_subscriptions_deliver_once_with_all_their_identifiers",
    ),
    "keeps the options of a subscription that is replaced": ("test_options_are_replaced_with_the_subscription",),
    "sends retained messages to shared subscriptions": (
        "test_retained_messages_are_not_sent_to_shared_subscriptions[0]",
        "test_retained_messages_are_not_sent_to_shared_subscriptions[1]",
    ),
    "says no will after reasons other than 0x04": (
        "test_goodbye_with_another_reason_leaves_the_will[UNSPECIFIED_ERROR]",
        "test_goodbye_with_another_reason_leaves_the_will[IMPLEMENTATION_SPECIFIC_ERROR]",
        "test_goodbye_with_another_reason_leaves_the_will[ADMINISTRATIVE_ACTION]",
    ),
    "lets a delayed will wait although its session has ended": (
        "test_will_with_a_delay_is_said_at_once_when_the_session_ends_with_the_connection",
        "test_will_with_a_delay_is_said_when_a_clean_start_ends_the_session",
        "test_rule_of_time_holds[will_is_said_when_its_session_ends_before_the_delay]",
    ),
    "says delayed wills seconds too late": (
        "test_rule_of_time_holds[delayed_will_is_said_later]",
        "test_rule_of_time_holds[delayed_will_is_said_later_after_disconnect_with_will]",
    ),
    "lets deliveries expire that have begun": ("test_rule_of_time_holds[delivery_that_has_begun_does_not_expire]",),
    "sets no topic aliases": ("test_server_uses_the_aliases_that_a_client_takes",),
    "has no response information": ("test_response_information_is_the_begin_of_topics_for_answers",),
}

MOSQUITTO_DEVIATES = {test: reason for reason, tests in _BY_REASON.items() for test in tests}

# Not run at all.
MOSQUITTO_LACKS = {"test_violation_is_answered_as_its_vector_says": "the vectors hold the gateway's own farewells"}
