# The formula, its guards, and sleeping and waking.

mock_provider "aws" {
  mock_resource "aws_appautoscaling_policy" {
    defaults = { arn = "arn:aws:autoscaling:eu-west-1:123456789012:scalingPolicy:11111111-2222-3333-4444-555555555555:resource/ecs/service/analysis/analysis:policyName/mocked" }
  }
}

variables {
  cluster_name = "analysis"
  service_name = "analysis"
  queue_names  = ["analysis-jobs-high", "analysis-jobs"]
}

run "the_target_follows_from_slots_wait_and_job_seconds" {
  variables {
    slots_per_task    = 4
    acceptable_wait_s = 30
    job_seconds       = 0.8
  }
  assert {
    condition     = aws_appautoscaling_policy.backlog.target_tracking_scaling_policy_configuration[0].target_value == 150
    error_message = "4 slots x 30 s / 0.8 s = 150 jobs per task."
  }
}

run "a_given_target_wins" {
  variables {
    target_backlog_per_task = 42
  }
  assert {
    condition     = output.target_backlog_per_task == 42
    error_message = "target_backlog_per_task must win over the formula."
  }
}

run "the_measure_counts_waiting_and_in_flight_of_every_queue" {
  assert {
    condition = output.backlog_per_task_expression == join("", [
      "(FILL(FILL(waiting0, REPEAT), 0) + FILL(FILL(waiting1, REPEAT), 0)",
      " + IF((FILL(FILL(inflight0, REPEAT), 0) + FILL(FILL(inflight1, REPEAT), 0)) > 4 * FILL(FILL(running, REPEAT), 0), 4 * FILL(FILL(running, REPEAT), 0), FILL(FILL(inflight0, REPEAT), 0) + FILL(FILL(inflight1, REPEAT), 0)))",
      " / IF(FILL(FILL(running, REPEAT), 0) < 1, 1, FILL(FILL(running, REPEAT), 0))",
    ])
    error_message = "Backlog over tasks, late numbers repeated, no more in flight than the slots have in hand, and never a division by zero."
  }
  assert {
    condition = sort([for m in aws_appautoscaling_policy.backlog.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
      m.metric_stat[0].metric[0].metric_name if length(m.metric_stat) == 1
      ]) == tolist([
      "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesNotVisible",
      "ApproximateNumberOfMessagesVisible", "ApproximateNumberOfMessagesVisible", "RunningTaskCount",
    ])
    error_message = "Scale-in must see messages in flight, of both queues."
  }
  assert {
    condition = [for m in aws_appautoscaling_policy.backlog.target_tracking_scaling_policy_configuration[0].customized_metric_specification[0].metrics :
    m.id if m.return_data] == ["per_task"]
    error_message = "Exactly the quotient is tracked."
  }
}

run "a_fleet_that_never_sleeps_needs_no_waking" {
  assert {
    condition     = aws_appautoscaling_target.this.min_capacity == 1 && length(aws_appautoscaling_policy.wake) == 0 && length(aws_cloudwatch_metric_alarm.wake) == 0
    error_message = "With a task always running there is no wake policy."
  }
}

run "a_fleet_that_sleeps_wakes_at_the_first_message" {
  variables {
    min_tasks = 0
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.wake[0].threshold == 1 && aws_cloudwatch_metric_alarm.wake[0].alarm_actions == toset([aws_appautoscaling_policy.wake[0].arn])
    error_message = "One message and no task must start a task."
  }
  assert {
    condition     = one([for q in aws_cloudwatch_metric_alarm.wake[0].metric_query : q.expression if q.return_data == true]) == "IF(FILL(FILL(running, REPEAT), 0) < 1, FILL(FILL(waiting0, REPEAT), 0) + FILL(FILL(waiting1, REPEAT), 0), 0)"
    error_message = "The alarm must be silent while a task runs, and while all that is there backs off."
  }
  assert {
    condition     = aws_cloudwatch_metric_alarm.wake[0].datapoints_to_alarm < aws_cloudwatch_metric_alarm.wake[0].evaluation_periods
    error_message = "One minute without a number must not decide."
  }
}

run "a_fleet_that_sleeps_only_at_night_wakes_too" {
  variables {
    schedules = {
      morning = { schedule = "cron(30 7 ? * MON-FRI *)", min_tasks = 4 }
      night   = { schedule = "cron(0 22 ? * MON-FRI *)", min_tasks = 0 }
    }
  }
  assert {
    condition     = length(aws_cloudwatch_metric_alarm.wake) == 1 && length(aws_appautoscaling_policy.wake) == 1
    error_message = "A schedule that lets the fleet sleep needs the wake policy as well."
  }
}

run "four_queues_fit_into_one_expression" {
  variables {
    queue_names = ["a", "b", "c", "d"]
  }
  assert {
    condition     = length(output.backlog_per_task_expression) <= 2048
    error_message = "An expression may have 2,048 characters."
  }
}

run "the_clock_raises_the_minimum" {
  variables {
    schedules = { morning = { schedule = "cron(30 7 ? * MON-FRI *)", timezone = "Asia/Seoul", min_tasks = 4 } }
  }
  assert {
    condition     = aws_appautoscaling_scheduled_action.this["morning"].scalable_target_action[0].min_capacity == "4" && aws_appautoscaling_scheduled_action.this["morning"].timezone == "Asia/Seoul"
    error_message = "A schedule must set the minimum in its own time zone."
  }
}

run "an_apply_ends_a_drain" {
  assert {
    condition     = alltrue([for suspended in values(aws_appautoscaling_target.this.suspended_state[0]) : suspended == false])
    error_message = "What a drain suspended must be taken up again."
  }
}

run "refuses_a_target_that_a_busy_task_alone_exceeds" {
  command = plan
  variables {
    target_backlog_per_task = 3
  }
  expect_failures = [aws_appautoscaling_policy.backlog]
}

run "refuses_no_queue" {
  command = plan
  variables {
    queue_names = []
  }
  expect_failures = [var.queue_names]
}

run "refuses_less_than_nothing" {
  command = plan
  variables {
    min_tasks = -1
  }
  expect_failures = [var.min_tasks]
}

run "refuses_a_maximum_below_the_minimum" {
  command = plan
  variables {
    min_tasks = 5
    max_tasks = 4
  }
  expect_failures = [var.max_tasks]
}

run "refuses_no_slots" {
  command = plan
  variables {
    slots_per_task = 0
  }
  expect_failures = [var.slots_per_task]
}

run "refuses_jobs_that_take_no_time" {
  command = plan
  variables {
    job_seconds             = -1
    target_backlog_per_task = 100
  }
  expect_failures = [var.job_seconds]
}

run "refuses_no_wait_at_all" {
  command = plan
  variables {
    acceptable_wait_s       = 0
    target_backlog_per_task = 100
  }
  expect_failures = [var.acceptable_wait_s]
}

run "refuses_a_target_of_nothing" {
  command = plan
  variables {
    target_backlog_per_task = 0
  }
  expect_failures = [var.target_backlog_per_task]
}

run "refuses_a_hasty_scale_in" {
  command = plan
  variables {
    scale_in_cooldown_s = 10
  }
  expect_failures = [var.scale_in_cooldown_s]
}

run "refuses_a_sleepy_scale_out" {
  command = plan
  variables {
    scale_out_cooldown_s = 3600
  }
  expect_failures = [var.scale_out_cooldown_s]
}

run "refuses_to_wake_more_than_the_maximum" {
  command = plan
  variables {
    max_tasks  = 2
    wake_tasks = 3
  }
  expect_failures = [var.wake_tasks]
}

run "refuses_a_schedule_in_words" {
  command = plan
  variables {
    schedules = { morning = { schedule = "07:30", min_tasks = 1 } }
  }
  expect_failures = [var.schedules]
}
