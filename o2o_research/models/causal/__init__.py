"""What a change of some stores did: one panel type, several estimators, one kind of answer.

``panel`` holds the checked panel and the answer, ``did`` differences in differences,
``synthetic`` synthetic controls and their inference, ``power`` what a trial can detect
and what regression to the mean pretends.
"""
