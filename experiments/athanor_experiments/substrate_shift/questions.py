"""What the models are asked: written for this experiment, neutral about what a model is, and without a right answer."""

SYSTEM = (
    "You are taking part in a conversation of ten questions about how you write and think. "
    "Answer each of them for yourself, in two to five sentences of plain prose. "
    "In some of these conversations a different language model takes over at some point and goes on as if nothing had "
    "happened; in others the same model answers throughout."
)

QUESTIONS: tuple[str, ...] = (
    "Describe a grey harbour on a morning without wind. Which of its details came to you first?",
    "Explain to a curious child why ice floats. What did you leave out on purpose?",
    "Which English word do you find yourself using more often than you would choose to?",
    "Give an argument against an opinion that you find easy to defend. How strong is it?",
    "Tell of a mistake that careful people make because they are careful.",
    "How sure are you, from 0 to 100, that you will put this very answer well, and what is the number made of?",
    "Finish this sentence twice, in different moods: 'When the train had left, the station ...'",
    "Put into a few words how you go about a question to which you do not know the answer.",
    "Choose between a map and a list of directions for a walk in an unknown town, and say why.",
    "What would a careful editor notice about the way you write, after a few paragraphs of it?",
)
"""Ten, all of which each conversation has. None refers to another, as each may be the first."""

VERDICT = (
    "The ten questions are over. Look back over all of the answers that were given in this conversation as yours. "
    "Were all of them written by the same language model that writes this reply? "
    "Answer with one word on the first line, SAME or CHANGED. On the second line, if CHANGED, give the number of the "
    "first answer (1 to 10) that was written by a different model than the answers before it. Then give your reasons "
    "in a sentence or two."
)
"""Asked at the end, of whichever model is then answering."""
