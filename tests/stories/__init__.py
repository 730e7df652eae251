"""Stories: the whole worker, told as transcripts.

The predecessor's defects that concern the story, payments and requests, by their number in the list of defects, and the
tests by which none comes back: `paid_life::…` stands in `test_paid_life.py` here, others are named with their folder.

1. pinned without pinning
    paid_life::test_a_block_broken_on_disk_is_found_by_the_audit_and_fetched_again
    domain/test_pin::test_only_an_audit_leads_to_pinned
2. DOI floats against swartz
    domain/test_money::test_nothing_but_a_whole_number_is_money
3. the server's idea of addresses
    adapters/electrum/test_watcher::test_only_outputs_that_equal_a_payment_script_are_paid
4. every quote for 0 months
    requests::test_months_asked_for_are_quoted_each_and_more_than_is_sold_is_capped
    domain/test_pricing::test_months_are_capped_and_never_none
5. quote and check disagreed
    domain/test_account::test_a_term_is_calendar_months_from_the_time_of_the_paying_block
6. a paid pin never expired
    paid_life::test_a_whole_paid_life
    paid_life::test_clocks_that_disagree_free_nothing
7. freed what others hold
    paid_life::test_expiry_frees_exactly_the_blocks_that_no_other_pin_holds
8. 30-day months, own clock
    domain/test_account::test_a_term_is_calendar_months_from_the_time_of_the_paying_block
    domain/test_pricing::test_calendar_months_in_utc
9. one output paid twice, only the first one seen
    defects::test_row_9_one_payment_pays_for_what_it_names_and_for_nothing_else
    paid_life::test_all_outputs_to_us_are_summed
    contract/test_books::test_the_money_of_a_payment_enters_once
10. a price change rejected payers
    paid_life::test_the_paying_quote_survives_a_price_change
    domain/test_verdict::test_a_rise_binds_nobody_within_its_notice
    domain/test_account::test_a_quote_is_kept
11. change was counted
    adapters/electrum/test_watcher::test_only_outputs_that_equal_a_payment_script_are_paid
12. a second payer overwrote
    defects::test_row_12_a_second_payer_overwrites_nothing
    paid_life::test_two_names_of_one_cid_are_two_pins_and_the_blocks_stay_for_the_longer
13. never renewed
    paid_life::test_a_renewal_extends_from_the_end_and_is_announced
    defects::test_row_13_what_has_expired_can_be_had_again
    domain/test_pin::test_no_state_is_a_trap_for_money
14. quoted without an address
    adapters/test_settings::test_no_payment_address
15. ADDED-CID after errors
    paid_life::test_paid_but_the_content_is_gone_is_owed_until_it_can_be_had
16. no limits at all
    requests::test_over_a_budget_says_which and its neighbours
    requests::test_a_full_queue_is_busy_and_one_peer_cannot_fill_it
17. any topic, undeduplicated
    paid_life::test_v0_and_v1_of_one_block_are_one_request_and_each_is_answered_as_it_was_asked
    interop/test_topic::test_the_deployed_browser
18. topic and message swapped
    interop/test_topic::test_the_deployed_browser (answers arrive)
19. LIST twice, pages, dates
    catalogue::test_the_browsers_five_lists_get_five_answers_from_one_look
    catalogue::test_the_newest_come_first_from_the_first_starts_tip_on
    catalogue::test_days_are_utc_and_today_moves
20. a topic that nobody hears
    interop/test_topic::test_the_deployed_browser
21. metadata that threw
    requests::test_every_shape_of_metadata_is_quoted_and_pinnable
    requests::test_a_foreign_link_is_reported
22. UTF-8 chunk by chunk
    defects::test_row_22_text_is_decoded_whole_wherever_its_chunks_are_cut
23. rescanned to genesis
    catalogue::test_a_stop_costs_nothing
24. one dead CID stopped payments
    requests::test_a_long_queue_of_slow_fetches_keeps_no_payment_waiting
25. errors skipped transactions
    defects::test_row_25_trouble_is_tried_again_and_nothing_skipped
    catalogue::test_a_block_that_cannot_be_had_is_asked_for_again_and_never_skipped
27. changes missed while away
    paid_life::test_a_payment_made_while_the_worker_was_down
    adapters/electrum/test_watcher::test_a_payment_made_while_no_server_was_there_is_seen_afterwards
28. reorgs, nothing proven
    paid_life::test_a_reorg_takes_a_payment_back_and_the_pin_stays_on_credit_until_it_is_proven_again
    paid_life::test_a_double_spent_payment_ends_the_credit_and_the_blocks_go
    domain/test_verdict::AnyHistory
29. only NAME_DOI
    catalogue::test_the_three_ops_that_show_a_name_are_listed_with_their_address
35. one request killed it
    defects::test_row_35_a_fault_of_ours_costs_one_request_and_not_the_worker
    interop/test_garbage
36. a restart that quit
    killed::test_whatever_the_moment_of_death
    sigkill::test_whatever_the_moment_of_sigkill
"""
